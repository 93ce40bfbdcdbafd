"""Who may talk to the server, and what every answer says to browsers.

**The token** comes as `Authorization: Bearer`, or, from what cannot set headers (browsers, small
watches), as `?token=`. A page that is opened with `?token=` is given it as a cookie that scripts
cannot read and is sent on to its address without it: the page's own WebSocket then carries the
cookie, and the token stays in no history. It is not taken as a subprotocol, which the server would
have to send back. Nothing writes addresses to a log.

**Other pages.** Browsers let any page open a WebSocket to any server, and send cookies along; they
say which page it was, so that only the server's own are let in. Without a token the server's name
must be one of this machine's, or a page whose own name was made to mean 127.0.0.1 would count as
the server's.
"""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page brings its own for the rest
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "accelerometer=(self), gyroscope=(self), camera=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
COOKIE_SECONDS = 86_400


class Gate:
    """Lets through to an application who may.

    Args:
        app: The application.
        token: That is asked for; none: nobody is asked.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or connection (ASGI)."""

        async def guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refusal(HTTPConnection(scope))
        if answer is None:
            await self._app(scope, receive, guarded)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, guarded).send_denial_response(answer)
        else:
            await answer(scope, receive, guarded)

    def _refusal(self, asked: HTTPConnection) -> Response | None:
        host = asked.headers.get("host", "")
        origin = asked.headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return PlainTextResponse("Not from the page of another server.\n", 403)
        if self._token is None:
            if is_loopback(_name(host)):
                return None
            return PlainTextResponse("This server is known by another name.\n", 403)
        cookie = f"pskd_{asked.scope['server'][1]}"  # cookies do not tell ports apart
        queried = asked.query_params.get("token", "")
        scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else queried or asked.cookies.get(cookie, "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse(
                "A token is needed: ?token=..., or Authorization: Bearer ...\n",
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        if queried and asked.scope["type"] == "http" and asked.url.path == "/":
            moved = RedirectResponse("/", 303)
            secure = asked.url.scheme == "https"
            moved.set_cookie(
                cookie, queried, COOKIE_SECONDS, secure=secure, httponly=True, samesite="lax"
            )
            return moved
        return None


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
