"""Rows of arrays by key: taken, given back, exported as text and restored."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from sluice.evidence.formulas import Floats

Rows = NDArray[np.intp]
_HEAD = struct.Struct("<B8s")
_LIMIT_BYTES = 1 << 22  # a state that unpacks to more is not one of ours


class Slots:
    """Which row of `fields` belongs to which key. The arrays double when they are full.

    All fields share the first axis. A new key's row is zero.
    """

    def __init__(self, fields: dict[str, Floats], layout: int) -> None:
        self.fields = fields
        self._layout = layout
        self._rows: dict[str, int] = {}
        self._free = list(range(len(next(iter(fields.values()))) - 1, -1, -1))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def keys(self) -> Collection[str]:
        """The keys that have a row."""
        return self._rows.keys()

    def row(self, key: str) -> int:
        """Raises KeyError for a key without a row."""
        return self._rows[key]

    def rows(self, keys: Sequence[str]) -> Rows:
        """The rows of these keys, in their order."""
        return np.array([self._rows[key] for key in keys], dtype=np.intp)

    def take(self, key: str) -> int:
        """A row of zeros for a key that has none."""
        if key in self._rows:
            raise ValueError(f"{key!r} is open already; close it first")
        if not self._free:
            self._grow()
        row = self._rows[key] = self._free.pop()
        for values in self.fields.values():
            values[row] = 0
        return row

    def give_back(self, key: str) -> None:
        """Unknown keys are fine."""
        row = self._rows.pop(key, None)
        if row is not None:
            self._free.append(row)

    def _grow(self) -> None:
        old = len(next(iter(self.fields.values())))
        for name, values in self.fields.items():
            room = np.zeros_like(values)
            self.fields[name] = np.concatenate([values, room])
        self._free.extend(range(2 * old - 1, old - 1, -1))

    def export(self, key: str, fingerprint: bytes) -> str:
        """One row as base64: layout, fingerprint, and the packed arrays."""
        row = self._rows[key]
        body = b"".join(values[row].tobytes() for values in self.fields.values())
        head = _HEAD.pack(self._layout, fingerprint)
        return base64.b64encode(head + zlib.compress(body, 9)).decode("ascii")

    def restore(self, key: str, state: str, fingerprint: bytes) -> bool:
        """Take over an exported row; False, and nothing changed, if it is of another layout."""
        row = self._rows[key]
        sizes = [values[row].nbytes for values in self.fields.values()]
        body = self._unpack(state, fingerprint)
        if body is None or len(body) != sum(sizes):
            return False
        start = 0
        for values, size in zip(self.fields.values(), sizes, strict=True):
            count = size // values.itemsize
            flat = np.frombuffer(body, dtype=values.dtype, count=count, offset=start)
            values[row] = flat.reshape(values.shape[1:])
            start += size
        return True

    def _unpack(self, state: str, fingerprint: bytes) -> bytes | None:
        try:
            raw = base64.b64decode(state, validate=True)
            if len(raw) < _HEAD.size or _HEAD.unpack_from(raw) != (self._layout, fingerprint):
                return None
            return zlib.decompressobj().decompress(raw[_HEAD.size :], _LIMIT_BYTES)
        except (binascii.Error, zlib.error, ValueError):
            return None


def fingerprint(*parts: object) -> bytes:
    """Eight bytes that change when any of `parts` does; arrays by their contents."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        digest.update(b"\0")
    return digest.digest()


def gained(before: Floats, now: Floats) -> Floats:
    """What cumulative counters gained per bin, last axis; shapes are alike.

    A counter that went back was reset: what it shows now is what it gained since. A process resets
    all its bins at once, so one that went back makes all of its row new. What is not a number
    (a gap) is nothing.
    """
    reset = (now < before).any(axis=-1, keepdims=True)
    more = np.where(reset, now, now - before)
    out: Floats = np.nan_to_num(more, nan=0.0, posinf=0.0, neginf=0.0)
    return out
