"""Who is let in: tokens, pages of others, names that are not this machine's, TLS."""

import hashlib
import ipaddress
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from pskd.errors import PskdError, UsageError
from pskd.stream.server import tls
from tests.stream.server.serving import Access, bind, hear

TOKEN = "correct-horse-battery-staple"
HELLO = '{"type":"hello","version":1,"unit":"g"}'


@pytest.fixture
def guarded(serve):
    return serve(access=Access(TOKEN))


def status(served, **how) -> int:
    """Of the answer to a WebSocket; 101 if a session begins."""
    try:
        with served.connect(**how) as link:
            link.send(HELLO)
            assert hear(link)["type"] == "ready"
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


PATHS = ["/", "/health", "/metrics", "/student", "/openapi.json", "/predict", "/nothing"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer " + TOKEN[:-1]}, {"Authorization": f"Basic {TOKEN}"}]
)
def test_without_the_token_nothing_is_there(guarded, path, headers):
    code, answer, body = guarded.get(path, headers)
    assert code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert TOKEN.encode() not in body


def test_the_stream_needs_the_token_too(guarded):
    assert status(guarded) == 401
    assert status(guarded, query="?token=") == 401
    assert status(guarded, query=f"?token={TOKEN}x") == 401
    assert status(guarded, additional_headers={"Authorization": "Bearer é"}) == 401
    assert status(guarded, query=f"?token={TOKEN}") == 101
    assert status(guarded, additional_headers={"Authorization": f"bearer {TOKEN}"}) == 101


def test_a_page_gets_the_token_as_a_cookie_that_opens_the_stream(guarded):
    code, answer, _ = guarded.get(f"/?token={TOKEN}")
    assert (code, answer["Location"]) == (303, "/")
    cookie, *attributes = answer["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(attributes)
    assert guarded.get("/health", {"Cookie": cookie})[0] == 200
    assert status(guarded, additional_headers={"Cookie": cookie}) == 101
    assert status(guarded, additional_headers={"Cookie": cookie[:-1]}) == 401


def test_the_page_of_another_server_is_sent_away_even_with_the_cookie(guarded):
    cookie = guarded.get(f"/?token={TOKEN}")[1]["Set-Cookie"].split("; ")[0]
    own = f"http://127.0.0.1:{guarded.port}"
    foreign = ["http://evil.example", f"{own}.evil.example", "null", "http://[", ""]
    for origin in [f"http://localhost:{guarded.port}", *foreign]:
        assert status(guarded, origin=origin, additional_headers={"Cookie": cookie}) == 403
    assert status(guarded, origin=own, additional_headers={"Cookie": cookie}) == 101
    assert guarded.get("/predict", {"Cookie": cookie, "Origin": "http://evil.example"})[0] == 403


def test_a_name_that_was_made_to_mean_this_machine_is_refused(serve):
    served = serve()
    for host in ["evil.example", f"evil.example:{served.port}", "127.0.0.1.evil.example", "[", ""]:
        assert served.get("/health", {"Host": host})[0] == 403
    for host in ["localhost", f"localhost:{served.port}", "127.0.0.1", "[::1]:80"]:
        assert served.get("/health", {"Host": host})[0] == 200


def test_answers_tell_browsers_to_be_strict(serve):
    for path in ("/health", "/nothing"):
        headers = serve().get(path)[1]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] is None


def test_the_token_is_in_no_output(guarded, capfd, caplog):
    caplog.set_level(0)
    guarded.get(f"/health?token={TOKEN}")
    status(guarded, query=f"?token={TOKEN}")
    printed = capfd.readouterr()
    assert TOKEN not in printed.out + printed.err
    mine = [r.getMessage() for r in caplog.records if not r.name.startswith("websockets.client")]
    assert not any(TOKEN in text for text in mine)


def test_self_signed_tls_carries_the_page_and_the_stream(serve, tmp_path):
    path = tls.self_signed(tmp_path / "tls", "127.0.0.1")
    served = serve(access=Access(TOKEN, path, path))
    assert served.get("/health", {"Authorization": f"Bearer {TOKEN}"})[0] == 200
    assert "Secure" in served.get(f"/?token={TOKEN}")[1]["Set-Cookie"]
    assert status(served, query=f"?token={TOKEN}") == 101
    shown = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", served.port)))
    digest = hashlib.sha256(shown).hexdigest().upper()
    assert tls.fingerprint(path).replace(":", "") == digest


def test_a_certificate_is_private_and_used_again(tmp_path):
    path = tls.self_signed(tmp_path / "tls", "192.0.2.7")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    before = path.read_bytes()
    assert tls.self_signed(tmp_path / "tls", "192.0.2.7").read_bytes() == before
    assert tls.self_signed(tmp_path / "tls", "127.0.0.1").read_bytes() == before
    assert tls.self_signed(tmp_path / "tls", "watch.example").read_bytes() != before
    path.write_text("torn")
    assert b"PRIVATE KEY" in tls.self_signed(tmp_path / "tls", "127.0.0.1").read_bytes()


def test_a_certificate_names_the_host_and_ends_within_what_browsers_take(tmp_path):
    from cryptography import x509

    path = tls.self_signed(tmp_path, "0.0.0.0")
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)
    assert socket.gethostname() in names.get_values_for_type(x509.DNSName)
    assert certificate.not_valid_after_utc < datetime.now(UTC) + timedelta(days=398)


def test_an_expired_certificate_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(tls, "DAYS", 0.5)
    before = tls.self_signed(tmp_path, "127.0.0.1").read_bytes()
    monkeypatch.setattr(tls, "DAYS", 90)
    assert tls.self_signed(tmp_path, "127.0.0.1").read_bytes() != before


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(PskdError, match="--tls-cert"):
        tls.self_signed(tmp_path / "tls", "127.0.0.1")


def test_a_key_of_another_certificate_is_refused(tmp_path):
    one, two = (tls.self_signed(tmp_path / name, "127.0.0.1") for name in "ab")
    tls.check_pair(one, one)
    with pytest.raises(UsageError, match="belong together"):
        tls.check_pair(one, two)
    with pytest.raises(UsageError, match="belong together"):
        tls.check_pair(one, Path("/nowhere/key.pem"))
    with pytest.raises(UsageError, match="no certificate"):
        tls.fingerprint(tmp_path / "missing.pem")


def test_a_port_in_use_is_named_with_a_remedy():
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} of 127.0.0.1 is in use.*--port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_here_is_refused(host):
    with pytest.raises(UsageError, match="--host"):
        bind(host, 0)
