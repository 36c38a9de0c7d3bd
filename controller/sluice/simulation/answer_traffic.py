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
from sluice.simulation.scenario import Event, Scenario, Side
from sluice.simulation.scenario_answers import Answering, Predictions, Through
from sluice.simulation.traffic import CANDIDATE, STABLE, Interval, Ints, K, N, own, parts

_SIDES = ((CANDIDATE, Side.CANDIDATE), (STABLE, Side.STABLE))


@dataclass(frozen=True)
class Mix:
    """What is true of the answers given between two scrapes; axis 0 is the side.

    `predictions` (2, labels) are shares, `overdispersion` (2,) is of those. `told` is the share of
    the answers whose truth comes, `truths` (labels,) how often each is true, and `wrong`
    (2, labels) the share of wrong answers where it is.
    """

    predictions: FloatArray
    overdispersion: FloatArray
    told: float
    truths: FloatArray
    wrong: FloatArray


class AnswerScenario:
    """The answers' part of a scenario: which counters there are, and the mix at each scrape."""

    def __init__(self, scenario: Scenario, counted: Collection[Counted]) -> None:
        self._scenario = scenario
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
        predictions = np.zeros((2, len(self.labels)))
        wrong = np.zeros((2, len(self.truths)))
        overdispersion = np.ones(2)
        for begin, weight in pieces:
            for row, side in _SIDES:
                said, right = self._said(side, begin)
                if self.labels and said is not None:
                    shares = said.shares
                    part = weight / total
                    predictions[row] += part * np.array([shares[label] for label in self.labels])
                    overdispersion[row] = max(overdispersion[row], said.overdispersion)
                missed = [1.0 - right.right(truth) for truth in self.truths]
                wrong[row] += weight / total * np.array(missed)
        return Mix(
            predictions,
            overdispersion,
            self._told(interval),
            np.array([self._by_truth[truth] for truth in self.truths]),
            wrong,
        )

    def _said(self, side: Side, at: float) -> tuple[Predictions | None, Answering]:
        base = own(self._scenario, side)
        predictions, right = base.predictions, Answering(accuracy=base.accuracy)
        for event in self._scenario.events:
            if event.concerns(side) and event.start <= at < event.to:
                predictions, right = _after(event, predictions, right)
        return predictions, right

    def _told(self, interval: Interval) -> float:
        feedback = self._scenario.feedback
        if feedback is None or not self.truths:
            return 0.0
        if feedback.share is not None:
            return feedback.share
        expected = (feedback.per_second or 0.0) * (interval.end - interval.start)
        return min(expected / max(interval.requests, 1e-300), 1.0)


def _after(
    event: Event, predictions: Predictions | None, right: Answering
) -> tuple[Predictions | None, Answering]:
    if event.predictions is not None:
        predictions = event.predictions
    if event.accuracy is not None:
        right = Answering(accuracy=event.accuracy)
    return predictions, right


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
        mix, found = self._before, []
        if self.scenario.labels:
            found.append(self._predicted(answered, mix, STABLE))
        if self.scenario.truths:
            told = self._rng.binomial(answered, mix.told)
            found.append(self._outcomes(told, mix, STABLE))
        past: FloatArray = np.concatenate(found, axis=-1).astype(np.float64)
        return past

    def drawn(self, mix: Mix, rows: Sequence[int], counts: Ints, share: FloatArray) -> FloatArray:
        """Counters of the open runs `rows`, (R, 2, C), of their requests (R, 2, ...).

        `share` (R,) is the candidate's part of the traffic. A failed request has no answer.
        """
        answered = counts[:, :, N] - counts[:, :, K]
        sides = []
        told = self._told(mix, rows, answered, share) if self.scenario.truths else None
        for side in (CANDIDATE, STABLE):
            found = []
            if self.scenario.labels:
                found.append(self._predicted(answered[:, side], mix, side))
            if told is not None:
                truths, then = told
                found.append(self._outcomes(truths[:, side], then, side))
            sides.append(np.concatenate(found, axis=-1))
        return np.stack(sides, axis=1).astype(np.float64)

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
