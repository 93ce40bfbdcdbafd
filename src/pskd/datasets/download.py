"""One file over HTTP, going on where an earlier attempt, or another day, stopped."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import requests
from urllib3.exceptions import HTTPError

import pskd
from pskd.errors import DataError

_CHUNK = 16 << 10
_MAY_PASS = (HTTPError, requests.ConnectionError, requests.Timeout)


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Attributes:
        seconds: Without a byte.
        attempts: For one file.
        pause: Seconds before the second attempt; twice as many before each one after.
    """

    seconds: float = 30.0
    attempts: int = 5
    pause: float = 1.0


class _Again(Exception):
    """A failure of the server that may pass."""


@dataclass
class Resuming:
    """A downloader for `pooch.retrieve` that keeps what has come.

    Attributes:
        part: Where the bytes are kept until they are whole.
        at_most: Bytes that the file may have.
        patience: With the server.
        remedy: What else the user can do, one sentence without its full stop.
        progress: Called as bytes come in.
        resumed: Whether the last call went on from bytes of another response.

    Raises:
        DataError: On a call, if the server or the network failed for good.
    """

    part: Path
    at_most: int
    patience: Patience
    remedy: str
    progress: Callable[[int, int | None], None]
    resumed: bool = False

    def __call__(self, url: str, output: str, _: object) -> None:
        """Download `url` to the file `output`."""
        for attempt in range(self.patience.attempts):
            if attempt:
                time.sleep(self.patience.pause * 2 ** (attempt - 1))
            try:
                self._go_on(url)
            except requests.exceptions.SSLError as error:
                self._refuse(url, f"the certificate of the server cannot be verified ({error})")
            except (_Again, *_MAY_PASS) as error:
                failed = str(error)
            except requests.RequestException as error:
                self._refuse(url, f"no file can be reached by it ({error})")
            else:
                self.part.replace(output)
                return
        kept = f"; {self._size()} bytes are kept, and the next fetch goes on from them"
        self._refuse(url, f"{self.patience.attempts} attempts failed, the last: {failed}{kept}")

    def _go_on(self, url: str) -> None:
        have = self._size()
        headers = {"Accept-Encoding": "identity", "User-Agent": f"pskd/{pskd.__version__}"}
        if have:
            headers["Range"] = f"bytes={have}-"
        seconds = self.patience.seconds
        with requests.get(url, headers=headers, stream=True, timeout=seconds) as response:
            span = response.headers.get("Content-Range", "")
            if response.status_code == 416 and span == f"bytes */{have}":
                self.resumed = True
                return  # there is no more: an earlier download was stopped just before its end
            if response.status_code in (206, 416) and not span.startswith(f"bytes {have}-"):
                self.part.unlink(missing_ok=True)
                raise _Again("the server does not go on from what has come")
            if response.status_code in (408, 429) or response.status_code >= 500:
                raise _Again(f"the server answered {response.status_code}")
            if response.status_code not in (200, 206):
                self._refuse(url, f"the server answered {response.status_code} {response.reason}")
            self._receive(response, url, have if response.status_code == 206 else 0)

    def _receive(self, response: requests.Response, url: str, size: int) -> None:
        """Append to what has come, or replace it if `size` is 0."""
        length = response.headers.get("Content-Length", "")
        total = size + int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        self.resumed = self.resumed or size > 0
        with self.part.open("ab" if size else "wb") as file:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                size += len(chunk)
                if max(size, total or 0) > self.at_most:
                    self.part.unlink()
                    self._refuse(url, f"the server sends more than {self.at_most} bytes")
                file.write(chunk)
                self.progress(size, total)
        if total not in (None, size):
            raise _Again(f"the server sent {size} of {total} bytes")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _refuse(self, url: str, what: str) -> NoReturn:
        raise DataError(what, where=url, remedy=self.remedy)
