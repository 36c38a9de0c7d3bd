"""What a preflight is asked by a decision, and what a decision is told of it. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.api.preflight import Preflight, PreflightStatus


@dataclass(frozen=True)
class PreflightWish:
    """One attempt to be made. Making the same question and attempt twice does no harm.

    `stable` and `candidate` are the predictors as they stand in the SeldonDeployment, `protocol` is
    its, "" for the default. Requests with `passed_hash` need not be sent again.
    """

    question: str
    attempt: int
    spec: Preflight
    namespace: str
    deployment: str
    stable: Mapping[str, Any] = field(repr=False)
    candidate: Mapping[str, Any] = field(repr=False)
    protocol: str = ""
    passed_hash: str | None = None


@dataclass(frozen=True)
class PreflightAnswer:
    """What became of one attempt, at Unix seconds `at`.

    `found` are the fields of a PreflightStatus that it has: the state, a message, numbers.
    """

    question: str
    attempt: int
    at: float
    found: Mapping[str, Any]

    def taken(self, old: PreflightStatus) -> PreflightStatus:
        """The status with it."""
        return old.model_copy(update=dict(self.found))


@dataclass(frozen=True)
class PreflightFacts:
    """What is known now: the newest answer, and how far an attempt under way is.

    `total` 0: not known yet.
    """

    answer: PreflightAnswer | None = None
    done: int = 0
    total: int = 0
