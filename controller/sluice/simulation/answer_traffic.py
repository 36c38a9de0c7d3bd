"""What the two sides answer between two scrapes, by the model kit's counters; many runs at a time.

Drawn from a stream of random numbers of its own: a scenario's requests are the same with and
without.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from sluice.evidence.answers import Cell, Counted, Shown
from sluice.evidence.formulas import FloatArray
from sluice.simulation.scenario import Scenario, Side
from sluice.simulation.scenario_answers import Answering, Predictions, Through
from sluice.simulation.traffic import CANDIDATE, STABLE, Interval, Ints, K, N, own, parts

ALL = np.ones(1)
"""The whole as a slice of one part."""
_SIDES = ((CANDIDATE, Side.CANDIDATE), (STABLE, Side.STABLE))


@dataclass(frozen=True)
class Mix:
    """What is true of the answers given between two scrapes; axis 0 is the side.

    `predictions` (2, labels) are shares, `overdispersion` (2,) is of those. `told` is the share of
    the answers whose truth comes, `truths` (labels,) how often each is true, and `wrong`
    (2, labels) the share of wrong answers where it is. For each slice `where` (2, labels, parts) is
    how the predictions of a label, and `where_wrong` (2, wrong and right, parts) how the outcomes
    are spread over its parts.
    """

    predictions: FloatArray
    overdispersion: FloatArray
    told: float
    truths: FloatArray
    wrong: FloatArray
    where: tuple[FloatArray, ...] = ()
    where_wrong: tuple[FloatArray, ...] = ()


class AnswerScenario:
    """The answers' part of a scenario: which counters there are, and the mix at each scrape."""

    def __init__(
        self, scenario: Scenario, counted: Collection[Counted], slices: Collection[str] = ()
    ) -> None:
        self._scenario = scenario
        self.slices = tuple(name for name in scenario.slices if name in slices)
        self._parts = [
            np.array(list(scenario.slices[name].values())) / sum(scenario.slices[name].values())
            for name in self.slices
        ]
        stable, feedback = scenario.stable.predictions, scenario.feedback
        has = Counted.PREDICTION in counted and stable is not None
        self.labels = tuple(stable.shares) if has and stable is not None else ()
        has = Counted.OUTCOME in counted and feedback is not None
        self._by_truth = feedback.by_truth if has and feedback is not None else {}
        self.truths = tuple(self._by_truth)
        self.cells = (
            *(Cell(Counted.PREDICTION, label) for label in self.labels),
            *(Cell(Counted.OUTCOME, truth, wrong=True) for truth in self.truths),
            *(Cell(Counted.OUTCOME, truth, wrong=False) for truth in self.truths),
            *(
                Cell(Counted.PREDICTION, label, False, name, part)
                for name in self.slices
                for label in self.labels
                for part in scenario.slices[name]
            ),
            *(
                Cell(Counted.OUTCOME, "", wrong, name, part)
                for name in self.slices
                for wrong in ((True, False) if self.truths else ())
                for part in scenario.slices[name]
            ),
        )
        self.shown = Shown(frozenset(self.cells), frozenset({"bins"}), frozenset({"model"}))

    @property
    def scrapes(self) -> int:
        """How many there are."""
        return self._scenario.scrapes

    @property
    def delay(self) -> int:
        """Scrapes between an answer and its truth."""
        feedback = self._scenario.feedback
        return 0 if feedback is None else round(feedback.delay / self._scenario.scrape_interval)

    @property
    def sent_by_weight(self) -> bool:
        """Feedback has to come to the side that answered, by chance."""
        feedback = self._scenario.feedback
        return feedback is not None and feedback.through is Through.GATEWAY

    def mix(self, interval: Interval) -> Mix:
        """What is true of the answers of an interval, averaged over its requests."""
        pieces = parts(self._scenario, interval.start, interval.end)
        total = sum(weight for _, weight in pieces)
        overdispersion = np.ones(2)
        # Together with the part of each slice: (2, labels, parts) and (2, truths, wrong, parts).
        said = [np.zeros((2, len(self.labels), len(each))) for each in (ALL, *self._parts)]
        told = [np.zeros((2, len(self.truths), 2, len(each))) for each in (ALL, *self._parts)]
        for begin, weight in pieces:
            for row, side in _SIDES:
                now = self._said(side, begin)
                if now.predictions is not None:
                    overdispersion[row] = max(overdispersion[row], now.predictions.overdispersion)
                for at, (name, mix) in enumerate(
                    zip(("", *self.slices), (ALL, *self._parts), strict=True)
                ):
                    said[at][row] += weight / total * self._shares(now, name, mix)
                    told[at][row] += weight / total * self._outcomes(now, name, mix)
        by_truth = np.array([self._by_truth[truth] for truth in self.truths])
        return Mix(
            said[0][..., 0],
            overdispersion,
            self._told(interval),
            by_truth,
            told[0][:, :, 0, 0],
            tuple(_spread(each) for each in said[1:]),
            tuple(_spread(np.einsum("stwp,t->swp", each, by_truth)) for each in told[1:]),
        )

    def _shares(self, now: Answering, name: str, mix: FloatArray) -> FloatArray:
        """Shares of the labels in each part of a slice, (labels, parts); together 1."""
        if not self.labels or now.predictions is None:
            return np.zeros((len(self.labels), len(mix)))
        usual = self._by_label(now.predictions)
        other = now.in_slice.predictions if now.in_slice is not None else None
        return self._otherwise(
            now, name, mix, usual, None if other is None else self._by_label(other)
        )

    def _outcomes(self, now: Answering, name: str, mix: FloatArray) -> FloatArray:
        """Of each true class the shares of wrong and right answers in each part of a slice."""
        found = np.zeros((len(self.truths), 2, len(mix)))
        other = now.in_slice.accuracy if now.in_slice is not None else None
        there = None if other is None else np.array([1.0 - other, other])
        for at, truth in enumerate(self.truths):
            right = now.right(truth)
            found[at] = self._otherwise(now, name, mix, np.array([1.0 - right, right]), there)
        return found

    def _otherwise(
        self,
        now: Answering,
        name: str,
        mix: FloatArray,
        usual: FloatArray,
        other: FloatArray | None,
    ) -> FloatArray:
        """`usual` shares (K,) over the parts of a slice (K, P), and `other` ones in a part."""
        if other is None or now.in_slice is None:
            return usual[:, None] * mix
        which, part = now.in_slice.place
        ranges = self._scenario.slices[which]
        share = ranges[part] / sum(ranges.values())
        if which != name:  # the parts of another slice, or the whole, are alike
            return ((1.0 - share) * usual + share * other)[:, None] * mix
        there = np.array([each == part for each in ranges])
        return np.where(there, other[:, None], usual[:, None]) * mix

    def _by_label(self, said: Predictions) -> FloatArray:
        shares = said.shares
        return np.array([shares[label] for label in self.labels])

    def _said(self, side: Side, at: float) -> Answering:
        base = own(self._scenario, side)
        said = {field: getattr(base, field) for field in Answering.model_fields}
        for event in self._scenario.events:
            if event.concerns(side) and event.start <= at < event.to:
                now = {field: getattr(event, field) for field in Answering.model_fields}
                said |= {field: value for field, value in now.items() if value is not None}
        return Answering.model_construct(**said)

    def _told(self, interval: Interval) -> float:
        feedback = self._scenario.feedback
        if feedback is None or not self.truths:
            return 0.0
        if feedback.share is not None:
            return feedback.share
        expected = (feedback.per_second or 0.0) * (interval.end - interval.start)
        return min(expected / max(interval.requests, 1e-300), 1.0)


def _spread(joint: FloatArray) -> FloatArray:
    """How each is spread over the last axis; evenly where there is none."""
    total = joint.sum(axis=-1, keepdims=True)
    even = np.full_like(joint, 1.0 / joint.shape[-1])
    return np.where(total > 0, joint / np.where(total > 0, total, 1.0), even)


class AnswerTraffic:
    """Draws the counters of `runs` runs, scrape by scrape, in order."""

    def __init__(
        self, scenario: AnswerScenario, runs: int, seed: np.random.SeedSequence, first: Interval
    ) -> None:
        self.scenario = scenario
        self._runs = runs
        apart = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 1))
        self._rng = np.random.default_rng(apart)
        self._before = scenario.mix(first)
        self._served_before = first.requests * (1.0 - float(first.failing[STABLE]))
        self._drawn = 0
        # Answers whose truths are still to come, oldest first.
        self._waiting: deque[tuple[Ints, Mix]] = deque()

    def past(self, counts: Ints) -> FloatArray:
        """What the stable counted before: (T, runs, C), of its requests and failures (T, runs, 2).

        No truth is missing for want of time.
        """
        answered = counts[..., N] - counts[..., K]
        mix = self._before
        told = self._rng.binomial(answered, mix.told) if self.scenario.truths else None
        return self._cells(answered, mix, told, mix, STABLE)

    def drawn(self, mix: Mix, rows: Sequence[int], counts: Ints, share: FloatArray) -> FloatArray:
        """Counters of the open runs `rows`, (R, 2, C), of their requests (R, 2, ...).

        `share` (R,) is the candidate's part of the traffic. A failed request has no answer.
        """
        answered = counts[:, :, N] - counts[:, :, K]
        truths, then = (None, mix)
        if self.scenario.truths:
            truths, then = self._told(mix, rows, answered, share)
        sides = [
            self._cells(
                answered[:, side], mix, None if truths is None else truths[:, side], then, side
            )
            for side in (CANDIDATE, STABLE)
        ]
        return np.stack(sides, axis=1)

    def _cells(
        self, answered: Ints, mix: Mix, told: Ints | None, then: Mix, side: int
    ) -> FloatArray:
        """In the order of the scenario's cells: what is predicted now, and found true of `then`."""
        found, where = [], []
        if self.scenario.labels:
            predicted = self._predicted(answered, mix, side)
            found.append(predicted)
            where += [self._spread(predicted, each[side]) for each in mix.where]
        if told is not None:
            outcomes = self._outcomes(told, then, side)
            found.append(outcomes)
            truths = len(self.scenario.truths)
            wrong = outcomes[..., :truths].sum(axis=-1), outcomes[..., truths:].sum(axis=-1)
            both = np.stack(wrong, axis=-1)
            where += [self._spread(both, each[side]) for each in then.where_wrong]
        return np.concatenate([*found, *where], axis=-1).astype(np.float64)

    def _spread(self, counts: Ints, where: FloatArray) -> Ints:
        """Counts (..., K) over the parts of a slice, `where` (K, P): (..., K * P)."""
        parted = self._rng.multinomial(counts, where)
        return parted.reshape(*counts.shape[:-1], -1)

    def _told(
        self, mix: Mix, rows: Sequence[int], answered: Ints, share: FloatArray
    ) -> tuple[Ints, Mix]:
        """How many truths come now and count, and what was true of those answers."""
        whole = np.zeros((self._runs, 2), dtype=np.int64)
        whole[rows] = answered
        self._drawn += 1
        if self._drawn + self.scenario.delay <= self.scenario.scrapes:
            self._waiting.append((whole, mix))
        if self._drawn > self.scenario.delay:
            due, then = self._waiting.popleft()
        else:  # of the hour before
            due, then = np.zeros((self._runs, 2), dtype=np.int64), self._before
            due[rows, STABLE] = self._rng.poisson(self._served_before, len(rows))
        chance = np.full((len(rows), 2), then.told)
        if self.scenario.sent_by_weight:
            chance[:, CANDIDATE] *= share
            chance[:, STABLE] *= 1.0 - share
        return self._rng.binomial(due[rows], np.clip(chance, 0.0, 1.0)), then

    def _predicted(self, answered: Ints, mix: Mix, side: int) -> Ints:
        p, over = mix.predictions[side], float(mix.overdispersion[side])
        if over <= 1.0:
            return self._rng.multinomial(answered, p)
        # Dirichlet-multinomial: the variance is that of n independent answers times
        # 1 + (n - 1) / (strength + 1).
        rho = np.clip((over - 1.0) / np.maximum(answered - 1, 1), 1e-9, 1.0 - 1e-6)
        strength = ((1.0 - rho) / rho)[..., None]
        drawn = self._rng.standard_gamma(np.maximum(strength * p, 1e-12))
        drawn[..., p <= 0] = 0.0
        total = drawn.sum(axis=-1, keepdims=True)
        # With hardly a request per scrape all weights may come out as 0.
        shares = np.where(total > 0, drawn / np.where(total > 0, total, 1.0), p)
        return self._rng.multinomial(answered, shares)

    def _outcomes(self, told: Ints, mix: Mix, side: int) -> Ints:
        by_truth = self._rng.multinomial(told, mix.truths)
        wrong = self._rng.binomial(by_truth, mix.wrong[side])
        return np.concatenate([wrong, by_truth - wrong], axis=-1)
