"""Rollouts whose checks have the same shape, side by side in arrays."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sluice.evidence import spread
from sluice.evidence.check import CheckRows, Counts, Streams, streams_of
from sluice.evidence.formulas import BoolArray, FloatArray, Floats
from sluice.evidence.spec import CheckPlan, Kind

_LAYOUT = 3  # of the exported state; a change of grids or fields must count it up
_HEAD = struct.Struct("<B8s")
_CHUNK = 512  # rollouts worked on at once: bounds the memory of the temporaries
_LIMIT_BYTES = 1 << 20  # an exported state that unpacks to more is not one of ours


FADE = 0.6
"""What an increment of the stable still weighs at the next one: about the last three count."""


@dataclass(frozen=True)
class Shape:
    """What rollouts must have in common to be computed together."""

    edges: tuple[float, ...]
    kinds: tuple[Kind, ...]
    streams: tuple[Streams, ...]


def shape_of(plans: tuple[CheckPlan, ...], edges: tuple[float, ...]) -> Shape:
    """The shape of a rollout's checks. Raises ValueError unless the edges ascend."""
    if any(later <= earlier for earlier, later in pairwise(edges)):
        raise ValueError(f"bucket edges must ascend, found {edges}")
    return Shape(edges, tuple(p.kind for p in plans), tuple(streams_of(p, edges) for p in plans))


class Fleet:
    """The rollouts of one shape; a slot (row) each, reused after `remove`."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        columns = 2 + len(shape.edges)
        self._rows: dict[str, int] = {}
        self._plans: dict[str, tuple[CheckPlan, ...]] = {}
        self._free: list[int] = [0]
        # Requests, failures and slow requests of both sides: so far, and not yet paired.
        self._fields: dict[str, Floats] = {
            "totals": np.zeros((1, 2, columns)),
            "pending": np.zeros((1, 2, columns)),
            "recent": np.zeros((1, columns)),  # of the stable, fading
            # How bunched the stable's events are, and its last increment to compare the next with.
            "spread": np.zeros((1, columns - 1, 3), dtype=np.float32),
            "last": np.zeros((1, columns), dtype=np.float32),
            "clocks": np.zeros((1, 2)),  # updates with traffic, and those of the bake
            "harmed": np.zeros((1, len(shape.kinds)), dtype=np.bool_),
        }
        self._checks = [
            CheckRows(kind, streams, columns, 1)
            for kind, streams in zip(shape.kinds, shape.streams, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def plans(self, key: str) -> tuple[CheckPlan, ...]:
        """The plans the key was added with."""
        return self._plans[key]

    def totals(self, key: str, check: int) -> FloatArray:
        """Shape (2, 2 + edges): candidate and stable, n, k, above..., that count for a check."""
        row = self._rows[key]
        counted: FloatArray = self._fields["totals"][row] - self._checks[check].skipped[row]
        return counted

    def skipped(self, key: str, check: int) -> float:
        """Candidate requests that came too early to count for a check."""
        return float(self._checks[check].skipped[self._rows[key], 0, 0])

    def dispersion(self, key: str, check: int) -> float:
        """What the evidence of a check is divided by at present, its most bunched stream; >= 1."""
        return float(self.outputs(key, check)[4])

    def _dispersion(self, rows: NDArray[np.intp]) -> FloatArray:
        return spread.factor(self._fields["spread"][rows])

    def outputs(self, key: str, check: int) -> FloatArray:
        """ln evidence of harm, of Pass, requests left, stream to show, dispersion."""
        row: FloatArray = self._checks[check].fields["outputs"][self._rows[key]]
        return row

    def harmed(self, key: str, check: int) -> bool:
        """Harm was shown at some time."""
        return bool(self._fields["harmed"][self._rows[key], check])

    def marks(self, key: str) -> list[tuple[bool, bool, bool]]:
        """For every check: harm was shown, Pass holds now, the candidate has requests."""
        row = self._rows[key]
        total = self._fields["totals"][row, 0, 0]
        found = []
        for check, harmed in zip(self._checks, self._fields["harmed"][row].tolist(), strict=True):
            shown = check.fields["outputs"][row, 1] >= check.params[row, 4]
            requests = bool(total - check.skipped[row, 0, 0] >= 0.5)
            found.append((harmed, bool(shown) and any(check.streams.passing), requests))
        return found

    def add(self, key: str, plans: tuple[CheckPlan, ...], state: str | None) -> bool:
        """Take a slot; True if `state` was restored into it."""
        if not self._free:
            self._grow()
        row = self._rows[key] = self._free.pop()
        self._plans[key] = plans
        for values in self._fields.values():
            values[row] = 0
        for rows, plan in zip(self._checks, plans, strict=True):
            rows.reset(row, plan)
        restored = state is not None and self._restore(row, plans, state)
        if restored:
            self._note_harm(np.array([row]))
        return restored

    def remove(self, key: str) -> None:
        """Give the slot back."""
        self._free.append(self._rows.pop(key))
        del self._plans[key]

    def _grow(self) -> None:
        old = len(self._fields["totals"])
        size = 2 * old
        for name, values in self._fields.items():
            room = np.zeros((size - old, *values.shape[1:]), dtype=values.dtype)
            self._fields[name] = np.concatenate([values, room])
        for rows in self._checks:
            rows.grow(size)
        self._free.extend(range(size - 1, old - 1, -1))

    def remember(self, keys: list[str], history: FloatArray) -> None:
        """Learn from what the stable did before: `history` of shape (T, B, 2), oldest first.

        Requests and failed requests of T increments; how slow they were is not told. Nothing of it
        counts as evidence: it only says how bunched failures are.
        """
        rows = np.array([self._rows[key] for key in keys], dtype=np.intp)
        columns = self._fields["last"].shape[1]
        for counts in history:
            now = np.full((len(rows), columns), np.nan)
            now[:, :2] = counts
            self._learn(rows, now)
        self._fields["last"][rows] = 0
        learned = self._dispersion(rows)
        for check in self._checks:
            check.note_dispersion(rows, learned)

    def _learn(self, rows: NDArray[np.intp], stable: FloatArray) -> None:
        fields = self._fields
        answered = stable[:, 0] > 0
        rows, stable = rows[answered], stable[answered]
        fields["spread"][rows] = spread.learn(fields["spread"][rows], fields["last"][rows], stable)
        fields["last"][rows] = stable

    def update(
        self,
        keys: list[str],
        table: FloatArray,
        baking: BoolArray,
        ages: FloatArray,
        skew: float,
        *,
        stable_only: BoolArray | None = None,
    ) -> None:
        """Move `keys` on; `table` has shape (B, 2, 2 + edges), cleaned, `ages` (B,) in seconds."""
        rows = np.array([self._rows[key] for key in keys], dtype=np.intp)
        alone = np.zeros(len(keys), np.bool_) if stable_only is None else stable_only
        # A warm-up is the candidate's: what the stable does before it has users counts.
        ages = np.where(alone, np.inf, ages)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            self._update_chunk(rows[part], table[part], baking[part], ages[part], skew, alone[part])

    def _update_chunk(
        self,
        rows: NDArray[np.intp],
        table: FloatArray,
        baking: BoolArray,
        ages: FloatArray,
        skew: float,
        stable_only: BoolArray,
    ) -> None:
        fields = self._fields
        for check in self._checks:
            check.skip(rows, table, ages)
        # What is divided by must not depend on what it divides: first used, then learned from.
        dispersion = self._dispersion(rows)
        self._learn(rows, table[:, 1])
        fields["totals"][rows] += table
        answered = table[:, 1, 0] > 0
        seen = rows[answered]
        fields["recent"][seen] = FADE * fields["recent"][seen] + table[answered, 1]
        paired, ready = self._pair(rows, table, baking)
        # What the stable did before the candidate had users is its past, and waits for no pair.
        fields["pending"][rows[stable_only]] = 0.0
        traffic = table[:, 0, 0] > 0
        # An update without a candidate request and without a pair brings nothing.
        live = traffic | ready
        if not live.any():
            return
        rows, table, paired = rows[live], table[live], paired[live]
        ready, baking, ages, dispersion = ready[live], baking[live], ages[live], dispersion[live]
        clocks = fields["clocks"][rows]
        clocks[:, 0] += 1
        clocks[:, 1] += baking
        fields["clocks"][rows] = clocks
        counts = Counts(
            n=table[:, 0, 0],
            k=table[:, 0, 1:],
            ready=ready,
            paired_n_c=paired[:, 0, 0],
            paired_n_s=paired[:, 1, 0],
            paired_k_c=paired[:, 0, 1:],
            paired_k_s=paired[:, 1, 1:],
            totals=fields["totals"][rows],
            recent_n_s=fields["recent"][rows, 0],
            recent_k_s=fields["recent"][rows, 1:],
            index=clocks[:, 0],
            baking=baking,
            baked=clocks[:, 1],
            ages=ages,
            dispersion=dispersion,
            skew=skew,
        )
        for check in self._checks:
            check.advance(rows, counts)
        self._note_harm(rows)

    def _pair(
        self, rows: NDArray[np.intp], table: FloatArray, baking: BoolArray
    ) -> tuple[FloatArray, BoolArray]:
        """What both sides have requests for; the rest waits for the other side.

        A ratio needs both sides. At low traffic a candidate's request comes once in many
        increments, and the stable's of all of them belong to it. The other way round only the
        newest waits: a stable that was silent for long tells nothing about that time.
        """
        fields = self._fields
        pending = fields["pending"][rows]
        renew = (pending[:, 1, 0] == 0) & (table[:, 0, 0] > 0)
        pending[renew, 0] = 0
        pending += table
        silent = baking & (table[:, 1, 0] == 0)
        pending[silent] = 0
        ready = (pending[:, 0, 0] > 0) & (pending[:, 1, 0] > 0)
        paired = np.where(ready[:, None, None], pending, 0.0)
        pending[ready] = 0
        fields["pending"][rows] = pending
        return paired, ready

    def _note_harm(self, rows: NDArray[np.intp]) -> None:
        for i, check in enumerate(self._checks):
            found = check.fields["outputs"][rows, 0] >= check.params[rows, 3]
            self._fields["harmed"][rows, i] |= found

    def export(self, key: str) -> str:
        """The row as base64: a head (layout, fingerprint of the plans) and the packed arrays."""
        row = self._rows[key]
        head = _HEAD.pack(_LAYOUT, _fingerprint(self._plans[key], self.shape.edges))
        body = b"".join(values[row].tobytes() for values in self._arrays())
        return base64.b64encode(head + zlib.compress(body, 9)).decode("ascii")

    def _restore(self, row: int, plans: tuple[CheckPlan, ...], state: str) -> bool:
        body = _unpack(state, _fingerprint(plans, self.shape.edges))
        arrays = self._arrays()
        sizes = [values[row].nbytes for values in arrays]
        if body is None or len(body) != sum(sizes):
            return False
        start = 0
        for values, size in zip(arrays, sizes, strict=True):
            flat = np.frombuffer(
                body, dtype=values.dtype, count=size // values.itemsize, offset=start
            )
            values[row] = flat.reshape(values.shape[1:])
            start += size
        return True

    def _arrays(self) -> list[Floats]:
        own = list(self._fields.values())
        return own + [values for check in self._checks for values in check.fields.values()]


def _unpack(state: str, fingerprint: bytes) -> bytes | None:
    try:
        raw = base64.b64decode(state, validate=True)
        if len(raw) < _HEAD.size or _HEAD.unpack_from(raw) != (_LAYOUT, fingerprint):
            return None
        reader = zlib.decompressobj()
        return reader.decompress(raw[_HEAD.size :], _LIMIT_BYTES)
    except (binascii.Error, zlib.error, ValueError):
        return None


def _fingerprint(plans: tuple[CheckPlan, ...], edges: tuple[float, ...]) -> bytes:
    """What the evidence depends on: all but the names' risks, which are only thresholds."""
    content = repr((edges, [astuple(replace(p, alpha=0.0, beta=0.0)) for p in plans]))
    return hashlib.blake2b(content.encode(), digest_size=8).digest()
