"""Certificates for a sandbox or a cluster of one machine: short-lived, ECDSA on P-256."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("localhost", "127.0.0.1")
_LIFETIME = timedelta(days=365)
# A machine whose clock is a little behind must not find them "not yet valid".
_EARLIER = timedelta(hours=1)


@dataclass(frozen=True)
class Certificate:
    """Where key (mode 0600) and certificate lie, and the certificate in PEM for a `caBundle`."""

    key_file: Path
    certificate_file: Path
    pem: str


class Authority:
    """A certificate authority; `directory` has `ca.crt`, `ca.key` and what it issues."""

    def __init__(self, directory: Path, name: str, now: datetime | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._now = now or datetime.now(UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key.public_key(), self._now)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_key_usage(authority=True), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.own = _written(directory, "ca", self._key, self._certificate)

    def issue(
        self,
        file: str,
        common_name: str,
        *,
        organisation: str = "",
        hosts: Sequence[str] = (),
        server: bool = False,
    ) -> Certificate:
        """A certificate for a client, or for a `server` with `hosts` (names and addresses)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organisation:
            subject.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
        builder = _builder(x509.Name(subject), self._name, key.public_key(), self._now)
        builder = _leaf(builder, hosts, server=server)
        signed = builder.sign(self._key, hashes.SHA256())
        return _written(self._directory, file, key, signed)


def self_signed(
    directory: Path, hosts: Sequence[str] = LOOPBACK, now: datetime | None = None
) -> Certificate:
    """Writes `tls.key` and `tls.crt` for a server of `hosts`, by default of loopback."""
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    builder = _builder(name, name, key.public_key(), now or datetime.now(UTC))
    signed = _leaf(builder, hosts, server=True).sign(key, hashes.SHA256())
    return _written(directory, "tls", key, signed)


def signing_key(directory: Path, file: str) -> tuple[Path, Path]:
    """A key pair for service account tokens: `<file>.key` (mode 0600) and `<file>.pub`."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = directory / f"{file}.key", directory / f"{file}.pub"
    _write_private(private, key)
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _LIFETIME)
    )


def _leaf(
    builder: x509.CertificateBuilder, hosts: Iterable[str], *, server: bool
) -> x509.CertificateBuilder:
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    names = [_general_name(host) for host in hosts]
    if not names:
        return builder
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _written(
    directory: Path, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> Certificate:
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    key_file, certificate_file = directory / f"{file}.key", directory / f"{file}.crt"
    _write_private(key_file, key)
    certificate_file.write_text(pem)
    return Certificate(key_file, certificate_file, pem)


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    # The form that every server reads, the API server's service account keys included.
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text)
