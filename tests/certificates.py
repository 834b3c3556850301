"""Certificates made for a test: of an authority of its own, and one that only vouches for itself."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import requires

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, KeyUsage


@dataclass(frozen=True)
class Certificates:
    """Server sides of TLS, and the authority that a client may trust."""

    authority: Path
    """Of `good`, `expired` and `elsewhere`; PEM."""
    good: ssl.SSLContext
    """For localhost and 127.0.0.1."""
    self_signed: ssl.SSLContext
    """For localhost and 127.0.0.1, by nobody but itself."""
    expired: ssl.SSLContext
    """As good as `good` was until yesterday."""
    elsewhere: ssl.SSLContext
    """Of the authority, for another host."""


def make(folder: Path) -> Certificates:
    """Make them all; the files are kept in the folder."""
    requires.module("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Harness test authority", key, None)
    (folder / "authority.pem").write_bytes(authority.public_bytes(Encoding.PEM))
    signer = authority, key
    return Certificates(
        folder / "authority.pem",
        _context(folder / "good", "localhost", signer),
        _context(folder / "self_signed", "localhost", None),
        _context(folder / "expired", "localhost", signer, days=-1),
        _context(folder / "elsewhere", "elsewhere.example", signer),
    )


def _context(
    folder: Path, host: str, signer: "tuple[Certificate, EllipticCurvePrivateKey] | None", days: int = 1
) -> ssl.SSLContext:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(host, key, signer, days, leaf=True)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def _certificate(
    name: str,
    key: "EllipticCurvePrivateKey",
    signer: "tuple[Certificate, EllipticCurvePrivateKey] | None",
    days: int = 1,
    *,
    leaf: bool = False,
) -> "Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, issuer_key = (signer[0].subject, signer[1]) if signer else (subject, key)
    today = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=10))
        .not_valid_after(today + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), critical=True)
        .add_extension(_usage(leaf=leaf), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if leaf:
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        if name == "localhost":
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return built.sign(issuer_key, hashes.SHA256())


def _usage(*, leaf: bool) -> "KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=not leaf, crl_sign=not leaf, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
