"""Is what the model gets and says still what it was trained on? Many rollouts at a time.

A feature (or the prediction) has *drifted* if two things hold: it is shown that the distance of the
live shares from the training's exceeds the threshold (an e-detector, `evidence.detector`, over bets
of `evidence.bets`), and the window of the last requests shows such a distance too, corrected for
what so few requests would show without drift. `docs/decisions/0013-drift.md` has the promise.

Rows are rollouts of one shape (N slots, B of them in one update), F features, K bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sluice.evidence import bets
from sluice.evidence.detector import BACK, EMPTY, GROWING, advance, total
from sluice.evidence.distances import (
    Distance,
    corrected,
    distance,
    noise,
    plain_shares,
    radius,
    shares,
)
from sluice.evidence.features import DriftPlan, Feature, FeatureEvidence
from sluice.evidence.formulas import BoolArray, FloatArray, Floats
from sluice.evidence.kept import Kept
from sluice.evidence.slots import Rows, fingerprint
from sluice.evidence.wander import Wander, contrasts

_LAYOUT = 1
HALF_LIFE = 150.0
"""Seconds after which a request counts half in the window, if there were `HALF_REQUESTS`."""
HALF_REQUESTS = 600.0
_WINDOW_EFFECT = 20.0  # the window grows with the design effect up to this
_SCORES = 2  # location and spread
_KINDS = tuple(Distance)


class DriftFleet(Kept[DriftPlan]):
    """The drift of rollouts with the same number of features and (padded) bins."""

    def __init__(self, features: int, bins: int, size: int = 1) -> None:
        self.features, self.bins = features, bins
        shape = (size, features)
        super().__init__(
            {
                "window": np.zeros((*shape, bins), np.float32),
                "squares": np.zeros(shape, np.float32),  # sum of squared weights of requests
                "log_m": np.zeros((*shape, len(bets.TIMES)), np.float32),
                "value": np.zeros(shape, np.float32),
                "since": np.zeros(shape, np.float64),
                "drifted": np.zeros(shape, np.float32),
                "age": np.zeros(size, np.float64),
            },
            Wander(size, features, _SCORES),
            _LAYOUT,
        )
        self._profiles: dict[str, Floats] = {}
        self._fit(size)

    def _fit(self, size: int) -> None:
        f, k = self.features, self.bins
        empty: dict[str, Floats] = {
            "training": np.zeros((size, f, k)),
            "there": np.zeros((size, f, k), np.bool_),
            "scores": np.zeros((size, f, k, _SCORES)),
            "kind": np.full((size, f), -1),
            "threshold": np.ones((size, f)),
            "wider": np.ones((size, f)),
            "needed": np.full((size, 1), np.inf),
            "learning": np.zeros(size),
        }
        for name, values in self._profiles.items():
            empty[name][: len(values)] = values
        self._profiles = empty
        self.wander.fit(size)

    def open(self, key: str, plan: DriftPlan, state: str | None = None) -> bool:
        """Begin to watch `key`; True if `state` (an `export` of the same profile) was restored."""
        if len(plan.features) != self.features:
            raise ValueError(f"expected {self.features} features, found {len(plan.features)}")
        training = [self._counts(feature) for feature in plan.features]
        row = self.slots.take(key)
        if len(self.slots.fields["age"]) > len(self._profiles["learning"]):
            self._fit(len(self.slots.fields["age"]))
        self._plans[key] = plan
        profiles = self._profiles
        for f, (feature, counts) in enumerate(zip(plan.features, training, strict=True)):
            profiles["training"][row, f] = 0.0
            profiles["training"][row, f, : len(counts)] = counts
            profiles["there"][row, f] = np.arange(self.bins) < len(counts)
            profiles["kind"][row, f] = _KINDS.index(feature.distance)
            profiles["threshold"][row, f] = feature.threshold
            profiles["wider"][row, f] = radius(
                feature.distance,
                np.array(feature.threshold),
                np.array(counts.sum()),
                profiles["there"][row, f],
            )
        profiles["scores"][row] = contrasts(
            shares(profiles["training"][row], profiles["there"][row]), _SCORES
        )
        profiles["needed"][row] = np.log(self.features / plan.rate)
        profiles["learning"][row] = plan.learning
        self.slots.fields["log_m"][row] = EMPTY
        return self._restore(key, state)

    def _counts(self, feature: Feature) -> FloatArray:
        counts = np.array(feature.training, dtype=np.float64)
        fine = 2 <= len(counts) <= self.bins and np.isfinite(counts).all() and counts.sum() > 0
        if not fine or (counts < 0).any():
            raise ValueError(
                f"feature {feature.name!r}: expected 2 to {self.bins} counts of at least 0, not "
                f"all of them 0; found {feature.training}"
            )
        return counts

    def _fingerprint(self, key: str) -> bytes:
        parts: list[object] = [self.bins]
        for feature in self._plans[key].features:
            parts += [feature.name, feature.distance, float(feature.threshold)]
            parts.append(np.array(feature.training, dtype=np.float64))
        return fingerprint(*parts)

    def remember(self, keys: Sequence[str], history: FloatArray, seconds: float) -> None:
        """Learn how shares wander from increments (T, B, F, K) before; no evidence of drift.

        `seconds` is the length of an increment, which should be that of the updates.
        """
        rows = self.slots.rows(keys)
        fields = self.slots.fields
        dt = np.full(len(rows), seconds)
        for counts in history:
            self._learn(rows, counts, self._profiles["training"][rows])
            self._slide(rows, counts, dt, self.wander.told(rows))
        fields["age"][rows] += seconds * len(history)

    def update(
        self,
        keys: Sequence[str] | Rows,
        counts: FloatArray,
        seconds: FloatArray,
        reference: FloatArray | None = None,
    ) -> BoolArray:
        """Move `keys` on by increments `counts` (B, F, K) of `seconds` (B,); drifted (B, F).

        Negative counts and what is not a number count as nothing. `reference` (B, F, K): counts to
        compare with instead of the training's (`evidence.seasons`); a feature without any there is
        not looked at.
        """
        rows = keys if isinstance(keys, np.ndarray) else self.slots.rows(keys)
        counts = np.clip(np.nan_to_num(counts, nan=0.0, posinf=0.0, neginf=0.0), 0.0, 1e15)
        fields, profiles = self.slots.fields, self._profiles
        there, wider = profiles["there"][rows], profiles["wider"][rows]
        base = profiles["training"][rows] if reference is None else reference
        live = (counts.sum(axis=-1) > 0) & (base.sum(axis=-1) > 0)
        # What is divided by and the direction of a bet are known before: first used, then learned.
        effect = self.wander.told(rows)
        kinds = profiles["kind"][rows]
        window = fields["window"][rows].astype(np.float64)
        gain = np.zeros((*live.shape, len(bets.TIMES)))
        for number in np.unique(kinds[live]):
            kind, at = _KINDS[number], live & (kinds == number)
            p, q = _both(kind, window[at], base[at], there[at])
            if reference is not None:
                known = base[at].sum(axis=-1)
                wider[at] = radius(kind, profiles["threshold"][rows][at], known, there[at])
            gain[at] = bets.gains(kind, counts[at], p, q, wider[at])
        log_m = fields["log_m"][rows]
        moved = advance(
            log_m, gain / effect[..., None], np.broadcast_to(seconds[:, None], live.shape)
        )
        # What its own wandering would divide is not known before: nothing is kept of it.
        counted = live & self._learned(rows)[:, None]
        fields["log_m"][rows] = np.where(counted[..., None], moved, log_m)
        self._learn(rows, counts, base)
        self._slide(rows, counts, seconds, effect)
        fields["age"][rows] += seconds * live.any(axis=1)
        self._measure(rows, base, effect, live)
        return self._judge(rows, seconds)

    def _learn(self, rows: Rows, counts: FloatArray, base: FloatArray) -> None:
        scores = self._profiles["scores"][rows]
        window = self.slots.fields["window"][rows].astype(np.float64)
        # What a score's variance is at present; before there is a window, that of the training.
        p = plain_shares(window + self._profiles["training"][rows] * 1e-3)
        mean = np.einsum("bfk,bfkd->bfd", p, scores)
        variance = np.einsum("bfk,bfkd->bfd", p, scores**2) - mean**2
        # A rhythm of the day that the reference has is no wandering.
        n = np.where(base.sum(axis=-1) > 0, counts.sum(axis=-1), 0.0)[..., None]
        beyond = np.where(n > 0, counts - n * plain_shares(base), 0.0)
        sums = np.einsum("bfk,bfkd->bfd", beyond, scores)
        self.wander.learn(rows, np.concatenate([n, sums], axis=-1), variance)

    def _learned(self, rows: Rows) -> BoolArray:
        enough: BoolArray = self.slots.fields["age"][rows] >= self._profiles["learning"][rows]
        return enough

    def _slide(
        self, rows: Rows, counts: FloatArray, seconds: FloatArray, effect: FloatArray
    ) -> None:
        fields, n = self.slots.fields, counts.sum(axis=-1)
        enough = n / (HALF_REQUESTS * np.minimum(effect, _WINDOW_EFFECT))
        fade = np.exp2(-np.minimum(enough, seconds[:, None] / HALF_LIFE))
        fields["window"][rows] = fields["window"][rows] * fade[..., None] + counts
        fields["squares"][rows] = fields["squares"][rows] * fade**2 + n

    def _measure(self, rows: Rows, base: FloatArray, effect: FloatArray, live: BoolArray) -> None:
        fields, profiles = self.slots.fields, self._profiles
        window = fields["window"][rows].astype(np.float64)
        there, kinds = profiles["there"][rows], profiles["kind"][rows]
        effective = _effective(window, fields["squares"][rows]) / effect
        value = fields["value"][rows].astype(np.float64)
        for number in np.unique(kinds[live]):
            kind, at = _KINDS[number], live & (kinds == number)
            p, q = _both(kind, window[at], base[at], there[at])
            expected = noise(kind, q, effective[at], base[at].sum(axis=-1), there[at])
            value[at] = corrected(kind, distance(kind, p, q), expected)
        fields["value"][rows] = value

    def _judge(self, rows: Rows, seconds: FloatArray) -> BoolArray:
        fields, profiles = self.slots.fields, self._profiles
        log_m = total(fields["log_m"][rows])
        growing = log_m > GROWING
        fields["since"][rows] = np.where(growing, fields["since"][rows] + seconds[:, None], 0.0)
        value, threshold = fields["value"][rows], profiles["threshold"][rows]
        was = fields["drifted"][rows] > 0
        shown = (log_m >= profiles["needed"][rows]) & (value >= threshold)
        over = was & (value < BACK * threshold)
        drifted: BoolArray = shown | (was & ~over)
        # What has come back begins anew; less evidence breaks no promise.
        fields["log_m"][rows] = np.where(over[..., None], EMPTY, fields["log_m"][rows])
        fields["since"][rows] = np.where(over, 0.0, fields["since"][rows])
        fields["drifted"][rows] = drifted
        return drifted

    def results(self, key: str) -> tuple[FeatureEvidence, ...]:
        """What is known of every feature, in the order of the plan. KeyError if not open."""
        row, plan, fields = self.slots.row(key), self._plans[key], self.slots.fields
        log_m = total(fields["log_m"][row])
        effect = self.wander.told(np.array([row]))[0]
        requests = _effective(fields["window"][row].astype(np.float64), fields["squares"][row])
        learned = bool(self._learned(np.array([row]))[0])
        return tuple(
            FeatureEvidence(
                name=feature.name,
                distance=feature.distance,
                value=float(fields["value"][row, f]),
                threshold=feature.threshold,
                log10_evidence=float(log_m[f] / np.log(10.0)),
                needed=float(self._profiles["needed"][row, 0] / np.log(10.0)),
                drifted=bool(fields["drifted"][row, f]),
                since=float(fields["since"][row, f]) or None,
                requests=float(requests[f]),
                design_effect=float(effect[f]),
                learned=learned,
            )
            for f, feature in enumerate(plan.features)
        )


def _effective(window: FloatArray, squares: NDArray[np.float32]) -> FloatArray:
    out: FloatArray = window.sum(axis=-1) ** 2 / np.maximum(squares.astype(np.float64), 1e-9)
    return out


def _both(
    kind: Distance, window: FloatArray, base: FloatArray, there: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Live and training shares as the distance needs them."""
    if kind.is_cut:
        return plain_shares(window), plain_shares(base)
    return shares(window, there), shares(base, there)
