"""A self-signed certificate for loopback, made with the standard library alone.

The API server calls webhooks over HTTPS only, and Python can serve TLS but not make a certificate.
This is ECDSA on P-256 (FIPS 186-4, SEC 1) and just enough DER (X.509 v3, RFC 5280) for it. It
protects nothing but a sandbox on one machine: the arithmetic is not constant-time.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_P256 = "1.2.840.10045.3.1.7"
_ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_COMMON_NAME = "2.5.4.3"
_BASIC_CONSTRAINTS = "2.5.29.19"
_KEY_USAGE = "2.5.29.15"
_EXTENDED_KEY_USAGE = "2.5.29.37"
_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
_ALT_NAMES = "2.5.29.17"
_LIFETIME = timedelta(days=365)

Point = tuple[int, int] | None


@dataclass(frozen=True)
class Certificate:
    """Where key and certificate lie, and the certificate in PEM for a `caBundle`."""

    key_file: Path
    certificate_file: Path
    pem: str


def self_signed(directory: Path, now: datetime | None = None) -> Certificate:
    """Writes `tls.key` and `tls.crt` for localhost and 127.0.0.1 into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    moment = now or datetime.now(UTC)
    private = secrets.randbelow(_N - 1) + 1
    public = _multiply(private, _G)
    pem = _pem("CERTIFICATE", _certificate(private, public, moment))
    key_file, certificate_file = directory / "tls.key", directory / "tls.crt"
    descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(_pem("EC PRIVATE KEY", _private_key(private, public)))
    certificate_file.write_text(pem)
    return Certificate(key_file, certificate_file, pem)


def _certificate(private: int, public: Point, now: datetime) -> bytes:
    algorithm = _sequence(_oid(_ECDSA_SHA256))
    name = _sequence(_tagged(0x31, _sequence(_oid(_COMMON_NAME), _tagged(0x0C, b"localhost"))))
    start = now - timedelta(hours=1)
    body = _sequence(
        _tagged(0xA0, _integer(2)),
        _integer(secrets.randbits(63)),
        algorithm,
        name,
        _sequence(_time(start), _time(now + _LIFETIME)),
        name,
        _sequence(_sequence(_oid(_EC_PUBLIC_KEY), _oid(_P256)), _bits(_encoded(public))),
        _tagged(0xA3, _sequence(*_extensions())),
    )
    r, s = _sign(private, body)
    return _sequence(body, algorithm, _bits(_sequence(_integer(r), _integer(s))))


def _extensions() -> list[bytes]:
    true = _tagged(0x01, b"\xff")
    # Key usage: digitalSignature (bit 0) and keyCertSign (bit 5), two bits unused at the end.
    usage = _tagged(0x03, b"\x02\x84")
    names = _sequence(_tagged(0x82, b"localhost"), _tagged(0x87, bytes((127, 0, 0, 1))))
    return [
        _sequence(_oid(_BASIC_CONSTRAINTS), true, _tagged(0x04, _sequence(true))),
        _sequence(_oid(_KEY_USAGE), true, _tagged(0x04, usage)),
        _sequence(_oid(_EXTENDED_KEY_USAGE), _tagged(0x04, _sequence(_oid(_SERVER_AUTH)))),
        _sequence(_oid(_ALT_NAMES), _tagged(0x04, names)),
    ]


def _private_key(private: int, public: Point) -> bytes:
    return _sequence(
        _integer(1),
        _tagged(0x04, private.to_bytes(32, "big")),
        _tagged(0xA0, _oid(_P256)),
        _tagged(0xA1, _bits(_encoded(public))),
    )


def _sign(private: int, message: bytes) -> tuple[int, int]:
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        nonce = secrets.randbelow(_N - 1) + 1
        point = _multiply(nonce, _G)
        r = point[0] % _N if point else 0
        s = pow(nonce, -1, _N) * (digest + r * private) % _N
        if r and s:
            return r, s


def _multiply(factor: int, point: Point) -> Point:
    result: Point = None
    while factor:
        if factor & 1:
            result = _add(result, point)
        point = _add(point, point)
        factor >>= 1
    return result


def _add(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    if one[0] == other[0] and (one[1] + other[1]) % _P == 0:
        return None
    if one == other:
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, _P) % _P
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, _P) % _P
    x = (slope * slope - one[0] - other[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P


def _encoded(point: Point) -> bytes:
    x, y = point or (0, 0)
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _bits(content: bytes) -> bytes:
    return _tagged(0x03, b"\x00" + content)


def _oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray([40 * first + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | (number & 0x7F))
        content += bytes(reversed(groups))
    return _tagged(0x06, bytes(content))


def _time(moment: datetime) -> bytes:
    return _tagged(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode())


def _pem(label: str, content: bytes) -> str:
    text = base64.encodebytes(content).decode().replace("\n", "")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
