"""What both sides did in a recording, counted as the controller counts, whatever a policy says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sluice.errors import MetricsUnavailableError
from sluice.evidence.answers import Cell, Counted
from sluice.metrics.answer_queries import Wants
from sluice.metrics.answers import AnswerObserver, AnswerPair
from sluice.metrics.dialects import Target
from sluice.metrics.observe import Observer, Pair
from sluice.metrics.source import Floats
from sluice.replay.recording import Answers, Recording

KEY = "replayed"


@dataclass(frozen=True)
class Sides:
    """Which two predictors are compared."""

    namespace: str
    deployment: str
    stable: str
    candidate: str

    @property
    def pair(self) -> Pair:
        """As the observer wants it."""
        return Pair(KEY, self.namespace, self.deployment, self.stable, self.candidate)

    @property
    def targets(self) -> tuple[Target, Target]:
        """Candidate and stable."""
        return (
            Target(self.namespace, self.deployment, self.candidate),
            Target(self.namespace, self.deployment, self.stable),
        )


@dataclass(frozen=True)
class Traffic:
    """Increments by moment of the recording; index 0 of axis 1 is the candidate, 1 the stable.

    `requests` and `failed` have shape (moments, 2), `above` (moments, 2, edges): requests slower
    than each bucket edge. What is the caller's fault is left out, as in the evidence.
    """

    edges: tuple[float, ...]
    requests: Floats
    failed: Floats
    above: Floats

    def until(self, first: int, last: int) -> tuple[Floats, Floats]:
        """Requests and failed requests of both sides after `first`, up to `last` (moments)."""
        part = slice(first + 1, last + 1)
        return self.requests[part].sum(axis=0), self.failed[part].sum(axis=0)


def count(recording: Recording, sides: Sides, first: int, last: int) -> Traffic:
    """Count both sides from one moment to another."""
    answers = Answers(recording, sides.targets)
    observer = Observer(answers, recording.dialect, interval=recording.step)
    observer.track(sides.pair)
    edges = len(observer.edges)
    requests, failed = np.zeros((recording.moments, 2)), np.zeros((recording.moments, 2))
    above = np.zeros((recording.moments, 2, edges))
    for index in range(first, last + 1):
        try:
            found = observer.pulse(recording.time(index)).increments.get(KEY)
        except MetricsUnavailableError:
            continue
        if found is not None:
            requests[index] = found.n_c, found.n_s
            failed[index] = found.k_c, found.k_s
            above[index] = found.above_c, found.above_s
    return Traffic(observer.edges, requests, failed, above)


@dataclass(frozen=True)
class Answered:
    """What models answered, by moment of the recording; index 0 of axis 1 is the candidate.

    `predictions` has shape (moments, 2, labels); `told` and `wrong` (moments, 2) are answers whose
    truth came, and the wrong ones of them.
    """

    labels: tuple[str, ...]
    predictions: Floats
    told: Floats
    wrong: Floats

    def telling(self) -> int | None:
        """The label whose shares differ most, for its size; None where a side has none."""
        n = self.predictions.sum(axis=0)
        whole = n.sum(axis=1, keepdims=True)
        if not len(self.labels) or whole.min() <= 0:
            return None
        share, pooled = n / whole, n.sum(axis=0) / n.sum()
        apart = np.abs(share[0] - share[1]) / np.sqrt(np.maximum(pooled * (1.0 - pooled), 1e-9))
        return int(apart.argmax())


def count_answers(recording: Recording, sides: Sides, first: int, last: int) -> Answered | None:
    """Count what both sides answered; None where the recording has none of it."""
    if not recording.has_answers:
        return None
    wants = Wants(predictions=True, outcomes=True)
    answers = Answers(recording, sides.targets, wants)
    observer = AnswerObserver(answers, recording.labels, interval=recording.step)
    pair = sides.pair
    followed = AnswerPair(KEY, pair.namespace, pair.deployment, pair.stable, pair.candidate, wants)
    observer.track(followed, recording.time(first))
    columns: dict[Cell, Floats] = {}
    for index in range(first, last + 1):
        try:
            found = observer.pulse(recording.time(index)).increments.get(KEY)
        except MetricsUnavailableError:
            continue
        for at, cell in enumerate(found.cells if found is not None else ()):
            column = columns.setdefault(cell, np.zeros((recording.moments, 2)))
            if found is not None:
                column[index] = found.candidate[at], found.stable[at]
    said = {c.label: n for c, n in columns.items() if c.counted is Counted.PREDICTION}
    nothing = np.zeros((recording.moments, 2))
    outcomes = [(c, n) for c, n in columns.items() if c.counted is Counted.OUTCOME]
    return Answered(
        tuple(sorted(said)),
        np.stack([said[label] for label in sorted(said)], axis=2)
        if said
        else np.zeros((recording.moments, 2, 0)),
        sum((n for _, n in outcomes), nothing),
        sum((n for c, n in outcomes if c.wrong), nothing),
    )
