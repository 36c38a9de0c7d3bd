"""What both sides did in a recording, counted as the controller counts, whatever a policy says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sluice.errors import MetricsUnavailableError
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
