"""A certificate of one's own: phones give motion data to pages from secure addresses only."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path

from pskd.errors import PskdError, UsageError

FILE = "self-signed.pem"
"""Key and certificate in one file: one is never there without the other."""

DAYS = 397
"""Browsers refuse certificates that are valid for longer."""


def self_signed(folder: Path, host: str) -> Path:
    """A self-signed certificate and its key for this machine, made unless a valid one is there.

    Args:
        folder: Where it is kept, so that a phone that trusts it need not be asked again.
        host: Address that is served; `0.0.0.0` and `::` mean all of this machine's.

    Returns:
        A PEM file of mode 0600 with both.

    Raises:
        PskdError: It cannot be written.
    """
    names = {"localhost", "127.0.0.1", "::1", *addresses(host)}
    path = folder / FILE
    if not _serves(path, names):
        _write_private(path, _make(names))
    return path


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate, as browsers show it: pairs of hexadecimal digits.

    Raises:
        UsageError: The file holds no certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"holds no certificate ({error})", where=certificate, remedy="Name a PEM file"
        ) from error
    return found.fingerprint(SHA256()).hex(":").upper()


def addresses(host: str) -> list[str]:
    """Addresses that others reach a host by: itself, or those of this machine, the likeliest first.

    Args:
        host: A name or address; `0.0.0.0` and `::` mean all of this machine's.
    """
    if host not in ("0.0.0.0", "::"):
        return [host]
    found = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: it only chooses a network card
        found.append(str(probe.getsockname()[0]))
    name = socket.gethostname()
    with suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(name, None, socket.AF_INET)]
    return list(dict.fromkeys([*found, name]))


def check_pair(certificate: Path, key: Path) -> None:
    """Make sure that a certificate and a key are there and belong together.

    Raises:
        UsageError: They do not.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise UsageError(
            f"no certificate with its key ({error})",
            where=f"{certificate}, {key}",
            remedy="Give PEM files that belong together, the key without a password",
        ) from error


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read at any moment, whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        part.replace(path)
    except OSError as error:
        raise PskdError(
            f"cannot be written ({error.strerror})",
            where=path,
            remedy="Give --tls-cert and --tls-key",
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")


def _serves(path: Path, names: set[str]) -> bool:
    """Whether a certificate is there, valid for another day, and for these names."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    known = {str(name.value) for name in found}
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    return names <= known and tomorrow < certificate.not_valid_after_utc


def _make(names: set[str]) -> bytes:
    """Key and certificate for names and addresses."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def general(name: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pskd serve")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # a phone's clock may be behind
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(map(general, sorted(names))), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
