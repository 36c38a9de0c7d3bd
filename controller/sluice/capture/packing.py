"""Requests as one file: JSON Lines, with gzip or without, the same bytes for the same requests."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass

# How much fewer to try with, beside what the sizes say: packed sizes are not quite in proportion.
_SPARE = 0.97


@dataclass(frozen=True)
class Packed:
    """`content` has the first `count` of the requests."""

    content: bytes
    count: int


def packed(bodies: Sequence[bytes], *, zipped: bool, most: int | None) -> Packed:
    """As many of the first requests as `most` bytes take (None: all)."""
    count = len(bodies)
    while True:
        content = _file(bodies[:count], zipped)
        if most is None or len(content) <= most or not count:
            return Packed(content if count else b"", count)
        count = min(count - 1, int(count * most / len(content) * _SPARE))


def _file(bodies: Sequence[bytes], zipped: bool) -> bytes:
    if not zipped:
        return b"".join(body + b"\n" for body in bodies)
    file = io.BytesIO()
    # Neither a time nor a name: what has not changed is not to look as if it had.
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packer:
        for body in bodies:
            packer.write(body + b"\n")
    return file.getvalue()
