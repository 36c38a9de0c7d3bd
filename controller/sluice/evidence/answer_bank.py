"""The evidence of all checks of answers: opened, moved on by increments, read, carried on.

Beside `bank`, and like it: one vectorised update for all checks with as many streams. What streams
a check has is known when both versions were seen; until then there is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sluice.api.policy import Metric
from sluice.evidence.answers import Cell, Incomparable, Shown, Streams, streams_of
from sluice.evidence.difference import DifferenceFleet, DifferencePlan, StreamEvidence
from sluice.evidence.formulas import BoolArray, FloatArray
from sluice.evidence.spec import AnswerPlan

# Versions that count the same have the same streams: worked out once, counted together.
_streams_of = lru_cache(maxsize=256)(streams_of)


@dataclass(frozen=True)
class AnswerIncrement:
    """What candidate and stable counted over the same time, by cell; arrays of shape (C,).

    `age`: seconds from the candidate's readiness to the beginning of the increment.
    """

    cells: tuple[Cell, ...]
    candidate: FloatArray
    stable: FloatArray
    age: float = math.inf


@dataclass(frozen=True)
class AnswerEvidence:
    """What is known about one check of answers.

    Without `streams` it cannot be judged: not yet, or for the reason of `problem`. `waited` says of
    each stream whether a Pass waits for it. `n_c` and `n_s` are the answers compared, `skipped`
    those of the candidate in the check's own warm-up, `alone` those without anything beside.
    """

    plan: AnswerPlan
    problem: Incomparable | None = None
    places: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    streams: tuple[StreamEvidence, ...] = ()
    waited: tuple[bool, ...] = ()
    harmed: bool = False
    passed: bool = False
    n_c: int = 0
    n_s: int = 0
    skipped: int = 0
    alone: int = 0


@dataclass
class _Open:
    """One check of one rollout. `state` is what it goes on from, once its streams are known."""

    plan: AnswerPlan
    state: str | None
    streams: Streams | None = None
    problem: Incomparable | None = None
    shown: tuple[Shown, Shown] | None = None
    restored: bool = False
    skipped: float = 0.0
    alone: float = 0.0
    placed: tuple[tuple[Cell, ...], FloatArray] | None = None

    def counts(self, cells: tuple[Cell, ...], values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """n and k of every stream, (..., S), of counts by cell, (..., C)."""
        streams = self.streams
        if streams is None:
            raise AssertionError("counted without streams")
        if self.placed is None or self.placed[0] is not cells:
            at = {cell: i for i, cell in enumerate(streams.cells)}
            place = np.zeros((len(cells), len(streams.cells)))
            for row, cell in enumerate(cells):
                if cell in at:
                    place[row, at[cell]] = 1.0
            self.placed = (cells, place)
        ordered = values @ self.placed[1]
        return ordered @ streams.base.T.astype(float), ordered @ streams.events.T.astype(float)


class AnswerBank:
    """Evidence by rollout key. Not thread-safe: one loop owns it."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, _Open]] = {}
        self._fleets: dict[int, DifferenceFleet] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._open

    def open(
        self, key: str, plans: Sequence[AnswerPlan], states: Mapping[str, str] | None = None
    ) -> None:
        """Begin; `states` by check are those of `export`. What is open already is begun anew."""
        self.close(key)
        given = states or {}
        self._open[key] = {plan.name: _Open(plan, given.get(plan.name)) for plan in plans}

    def close(self, key: str) -> None:
        """Forget the key; unknown keys are fine."""
        for name, one in self._open.pop(key, {}).items():
            self._leave(_row(key, name), one)

    def lay_out(self, key: str, stable: Shown, candidate: Shown) -> bool:
        """Say what both versions were seen to count. True if a check begins without a past."""
        begins = False
        for name, one in self._open[key].items():
            if one.shown == (stable, candidate):
                continue
            one.shown = (stable, candidate)
            found = _streams_of(one.plan, stable, candidate)
            if isinstance(found, Incomparable):
                self._leave(_row(key, name), one)
                one.problem = found
                continue
            one.problem = None
            if one.streams is not None and one.streams.names == found.names:
                one.streams, one.placed = found, None
                continue
            self._leave(_row(key, name), one)
            begins |= self._enter(_row(key, name), one, found)
        return begins

    def _enter(self, row: str, one: _Open, streams: Streams) -> bool:
        size = len(streams.names)
        fleet = self._fleets.setdefault(size, DifferenceFleet(size))
        plan = DifferencePlan(
            streams.names,
            one.plan.acceptable,
            one.plan.unacceptable,
            one.plan.alpha,
            one.plan.beta,
            two_sided=one.plan.metric is not Metric.FEEDBACK,
        )
        one.streams, one.placed = streams, None
        one.restored = fleet.open(row, plan, one.state)
        one.state = None
        return not one.restored

    def _leave(self, row: str, one: _Open) -> None:
        if one.streams is None:
            return
        size = len(one.streams.names)
        self._fleets[size].close(row)
        if not len(self._fleets[size].slots):
            del self._fleets[size]
        one.streams = None

    def remember(self, key: str, cells: tuple[Cell, ...], past: FloatArray) -> None:
        """Learn from what the stable did before, shape (T, C), oldest first; no evidence."""
        self.remember_all([key], cells, past[:, None])

    def remember_all(self, keys: Sequence[str], cells: tuple[Cell, ...], past: FloatArray) -> None:
        """The same for several rollouts of the same counters, shape (T, len(keys), C)."""
        groups: dict[int, list[tuple[int, str, _Open]]] = {}
        for at, key in enumerate(keys):
            for name, one in self._open[key].items():
                if one.streams is not None and not one.restored:
                    groups.setdefault(id(one.streams), []).append((at, _row(key, name), one))
        for group in groups.values():
            columns, rows, (one, *_) = zip(*group, strict=True)
            n, k = one.counts(cells, past[:, list(columns)])
            self._fleet(one).remember(rows, n, k)

    def _fleet(self, one: _Open) -> DifferenceFleet:
        if one.streams is None:
            raise AssertionError("no streams")
        return self._fleets[len(one.streams.names)]

    def update(
        self, increments: Mapping[str, AnswerIncrement], *, apart: Collection[str] = ()
    ) -> None:
        """Move the evidence on for every key given; all keys must be open.

        `apart`: rollouts in which only one version has users. There is nothing to compare, and what
        one of them does alone does not wait for the other.
        """
        groups: dict[tuple[int, int], list[tuple[str, str, _Open, AnswerIncrement]]] = {}
        for key, increment in increments.items():
            for name, one in self._open[key].items():
                if one.streams is not None:
                    group = groups.setdefault((id(one.streams), id(increment.cells)), [])
                    group.append((key, name, one, increment))
        moves: dict[int, list[tuple[list[str], list[FloatArray]]]] = {}
        for group in groups.values():
            first, cells = group[0][2], group[0][3].cells
            n_c, k_c = first.counts(cells, np.array([i.candidate for *_, i in group]))
            n_s, k_s = first.counts(cells, np.array([i.stable for *_, i in group]))
            rows, kept = [], []
            for at, (key, name, one, increment) in enumerate(group):
                if increment.age < one.plan.warmup:
                    one.skipped += float(n_c[at, 0])
                elif key in apart:
                    one.alone += float(n_c[at, 0])
                else:
                    rows.append(_row(key, name))
                    kept.append(at)
            if rows:
                whole = len(kept) == len(group)
                tables = [table if whole else table[kept] for table in (n_c, k_c, n_s, k_s)]
                moves.setdefault(n_c.shape[1], []).append((rows, tables))
        for size, moved in moves.items():
            fleet = self._fleets[size]
            at_once = fleet.slots.rows([row for rows, _ in moved for row in rows])
            fleet.update(at_once, *(np.concatenate([t[i] for _, t in moved]) for i in range(4)))

    def marks(self, keys: Sequence[str]) -> BoolArray:
        """Shape (len(keys), checks, 3): harmed, passed, any answer of the candidate.

        As of `EvidenceBank`: where these stay, so does the verdict. All keys must have as many
        checks.
        """
        checks = max((len(self._open[key]) for key in keys), default=0)
        marks = np.zeros((len(keys), checks, 3), dtype=np.bool_)
        groups: dict[int, list[tuple[int, int, str, _Open]]] = {}
        for at, key in enumerate(keys):
            for check, (name, one) in enumerate(self._open[key].items()):
                if one.streams is not None:
                    group = groups.setdefault(id(one.streams), [])
                    group.append((at, check, _row(key, name), one))
        for group in groups.values():
            where, which, rows, (one, *_) = zip(*group, strict=True)
            marks[list(where), list(which)] = self._marks(rows, one)
        return marks

    def _marks(self, rows: Sequence[str], one: _Open) -> BoolArray:
        fleet = self._fleet(one)
        at = fleet.slots.rows(rows)
        totals = fleet.slots.fields["totals"][at]
        places = one.streams.places if one.streams is not None else ()
        harmed, passed = fleet.verdicts(at, waited(one.plan, places, totals[:, 1, 0]))
        return np.stack([harmed, passed, totals[:, 0, 0, 0] > 0], axis=-1)

    def results(self, key: str) -> tuple[AnswerEvidence, ...]:
        """The evidence of every check, in the order of the plans. KeyError if not open."""
        return tuple(self._result(key, name, one) for name, one in self._open[key].items())

    def _result(self, key: str, name: str, one: _Open) -> AnswerEvidence:
        skipped, alone = round(one.skipped), round(one.alone)
        if one.streams is None:
            return AnswerEvidence(one.plan, one.problem, skipped=skipped, alone=alone)
        streams = self._fleet(one).results(_row(key, name))
        whole = streams[0].n_s
        n_s = np.array([[each.n_s for each in streams]])
        awaited = tuple(waited(one.plan, one.streams.places, n_s)[0].tolist())
        harmed = any(each.harmed for each in streams)
        return AnswerEvidence(
            plan=one.plan,
            places=one.streams.places,
            sets=one.streams.sets,
            streams=streams,
            waited=awaited,
            harmed=harmed,
            passed=not harmed
            and all(s.passed for s, wait in zip(streams, awaited, strict=True) if wait),
            n_c=round(streams[0].n_c),
            n_s=round(whole),
            skipped=skipped,
            alone=alone,
        )

    def export(self, key: str) -> dict[str, str]:
        """The evidence of one rollout by check, for `open` in another process."""
        found = {}
        for name, one in self._open[key].items():
            if one.streams is not None:
                found[name] = self._fleet(one).export(_row(key, name))
            elif one.state is not None:  # not seen since a restart
                found[name] = one.state
        return found


def waited(plan: AnswerPlan, places: Sequence[str], n_s: FloatArray) -> BoolArray:
    """Which streams a Pass waits for, by the stable's answers of each, (B, S)."""
    whole = np.array([not place for place in places])
    enough: BoolArray = (n_s >= np.maximum(plan.least_share * n_s[:, :1], 1.0)) | whole
    return enough


def _row(key: str, name: str) -> str:
    return f"{key}\0{name}"
