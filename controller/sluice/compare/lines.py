"""Requests as JSON Lines: of a file, or of a ConfigMap. One at a time, whatever their number."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import itertools
import json
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import RequestsError, UsageError

# What a ConfigMap may unpack to: it has 1 MiB at most, and gzip makes a thousand times that of it.
MOST_BYTES = 64 * 1024 * 1024
MOST_REQUESTS = 100_000
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Request:
    """A line of the file, counted from 1."""

    number: int
    body: str


def read_requests(path: Path, limit: int | None = None) -> Iterator[Request]:
    """JSON Lines, one request body a line; `.gz` is unpacked, `-` is standard input.

    Raises UsageError that names the line.
    """
    try:
        with _opened(path) as file:
            lines = ((n, line) for n, line in enumerate(file, 1) if line.strip())
            for number, line in itertools.islice(lines, limit):
                try:
                    found = json.loads(line)
                except ValueError as error:
                    raise UsageError(f"{path}:{number}: expected JSON, {error}") from error
                if not isinstance(found, dict):
                    raise UsageError(
                        f"{path}:{number}: expected a request as a JSON object, such as "
                        f'{{"data": {{"ndarray": [[1, 2]]}}}}, found {line[:40].strip()}'
                    )
                yield Request(number, line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _opened(path: Path):  # type: ignore[no-untyped-def]
    if str(path) == "-":
        return open(sys.stdin.fileno(), encoding="utf-8", closefd=False)
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open()


def content_of(config_map: Mapping[str, Any], key: str) -> bytes:
    """The bytes of a ConfigMap's file, as they are. Raises RequestsError with what there is."""
    name = (config_map.get("metadata") or {}).get("name", "?")
    texts, packed = config_map.get("data") or {}, config_map.get("binaryData") or {}
    if key in texts:
        return str(texts[key]).encode()
    if key not in packed:
        have = ", ".join(sorted({*texts, *packed})) or "nothing"
        raise RequestsError(
            "RequestsNotFound",
            f"expected {key} in the ConfigMap {name}, found {have}: add it, or name another key",
        )
    try:
        return base64.b64decode(packed[key], validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise RequestsError(
            "RequestsInvalid", f"{name}/{key}: binaryData is no base64: {error}"
        ) from error


def requests_in(content: bytes) -> Iterator[Request]:
    """The requests of a file in memory, gzip or not, unpacked as they are asked for.

    Raises RequestsError that names the line, and nothing of what is in it: requests may be
    confidential.
    """
    plain = io.BytesIO(content)
    read = found = 0
    with gzip.GzipFile(fileobj=plain) if content.startswith(_GZIP) else plain as file:
        for number in itertools.count(1):
            try:
                line = file.readline(MOST_BYTES - read + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise RequestsError(
                    "RequestsInvalid", f"line {number}: gzip is broken: {error}"
                ) from error
            if not line:
                return
            read += len(line)
            if read > MOST_BYTES or found >= MOST_REQUESTS:
                raise RequestsError(
                    "RequestsInvalid",
                    f"line {number}: expected {MOST_BYTES >> 20} MiB and {MOST_REQUESTS:,} "
                    "requests at most: send a sample of them",
                )
            if line.strip():
                found += 1
                yield Request(number, _checked(number, line))


def _checked(number: int, line: bytes) -> str:
    try:
        body = line.decode().strip()
        found = json.loads(body)
    except ValueError as error:
        # Not str(error): that of a wrong encoding has the line in it.
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise RequestsError(
            "RequestsInvalid", f"line {number}: expected JSON, found something else{where}"
        ) from None
    except RecursionError:
        raise RequestsError("RequestsInvalid", f"line {number}: nested too deeply") from None
    if not isinstance(found, dict):
        raise RequestsError(
            "RequestsInvalid",
            f"line {number}: expected a request as a JSON object, such as "
            '{"data": {"ndarray": [[1, 2]]}}',
        )
    return body


def rows_of(request: Request) -> int:
    """How many rows are asked for, as far as that can be seen; at least 1."""
    body = json.loads(request.body)
    try:
        data = body.get("data") or {}
        if isinstance(data.get("ndarray"), list):
            return max(1, len(data["ndarray"]))
        if "tensor" in data:
            shape = data["tensor"]["shape"]
            return max(1, int(shape[0])) if len(shape) > 1 else 1
        if body.get("inputs"):
            return max(1, int(body["inputs"][0]["shape"][0]))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        pass
    return 1
