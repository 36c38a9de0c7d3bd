"""A scenario: what is true of the two sides, and when. All times are from the first step on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from sluice.api.base import Duration, Model
from sluice.api.rollout import explain
from sluice.errors import UsageError
from sluice.simulation.files import read_documents
from sluice.simulation.scenario_answers import Answering, Feedback, Slices, check_answers

_LONGEST_SCRAPES = 100_000


class Truth(StrEnum):
    """What the candidate is."""

    HARMFUL = "harmful"
    HEALTHY = "healthy"


class Side(StrEnum):
    """Whom an event concerns."""

    BOTH = "both"
    CANDIDATE = "candidate"
    STABLE = "stable"
    METRICS = "metrics"


class Latency(Model):
    """Lognormal: the median, and the standard deviation of the natural logarithm."""

    median: Duration = Field(default=0.05, gt=0)
    sigma: float = Field(default=0.6, gt=0, le=10)


class Behaviour(Answering):
    """What one side does unless an event says otherwise."""

    error_rate: float = Field(default=0.0, ge=0, le=1)
    latency: Latency = Field(default_factory=Latency)


class Load(Model):
    """Requests a second from a moment on."""

    at: Duration = Field(ge=0)
    value: float = Field(ge=0, le=1e6)


def _as_steps(given: Any) -> Any:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return [{"at": 0.0, "value": given}]
    if not isinstance(given, list):
        raise ValueError("expected a number such as 20, or a list of {at: 30m, value: 5}")
    return given


class Event(Answering):
    """Something that lasts from `from` until before `to`.

    `error_rate`, `predictions`, `accuracy` and `in_slice` replace the side's own (the later event
    in the list wins), `latency_factor` multiplies its latency, `outage` takes the metrics away.
    """

    start: Duration = Field(alias="from", ge=0)
    to: Duration
    side: Side
    error_rate: float | None = Field(default=None, ge=0, le=1)
    latency_factor: float | None = Field(default=None, gt=0)
    outage: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.to <= self.start:
            raise ValueError("'to' must be later than 'from'")
        if self.side is Side.METRICS:
            if not self.outage or self._changes_a_side:
                raise ValueError("an event of side metrics is an outage: give 'outage: true' alone")
        elif self.outage:
            raise ValueError("'outage' is for side metrics: remove it, or write 'side: metrics'")
        elif not self._changes_a_side:
            raise ValueError(
                "an event needs errorRate, latencyFactor, predictions, accuracy or inSlice"
            )
        return self

    @property
    def _changes_a_side(self) -> bool:
        said = (self.error_rate, self.latency_factor, self.predictions, self.accuracy)
        return any(each is not None for each in (*said, self.in_slice))

    def concerns(self, side: Side) -> bool:
        """The event changes this side."""
        return self.side is side or (self.side is Side.BOTH and side is not Side.METRICS)


class Scenario(Model):
    """One situation. `overdispersion`: variance of a side's failures per scrape over their mean."""

    name: str = Field(min_length=1, max_length=200)
    truth: Truth
    requests_per_second: Annotated[list[Load], BeforeValidator(_as_steps)]
    duration: Duration = Field(gt=0)
    scrape_interval: Duration = Field(default=15.0, gt=0)
    stable: Behaviour
    candidate: Behaviour
    overdispersion: float = Field(default=1.0, ge=1, le=1000)
    events: list[Event] = Field(default_factory=list)
    feedback: Feedback | None = None
    slices: Slices = Field(default_factory=dict)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        times = [load.at for load in self.requests_per_second]
        if not times or times[0] != 0 or times != sorted(set(times)):
            raise ValueError("requestsPerSecond: a list must begin at 0s, and its times ascend")
        if self.scrape_interval > self.duration:
            raise ValueError("scrapeInterval must not be longer than duration")
        if self.scrapes > _LONGEST_SCRAPES:
            raise ValueError(
                f"duration / scrapeInterval must be at most {_LONGEST_SCRAPES:,}, found "
                f"{self.scrapes:,}"
            )
        events = {f"events.{number}": event for number, event in enumerate(self.events)}
        check_answers(self.stable, self.candidate, events, self.feedback, self.slices)
        return self

    @property
    def scrapes(self) -> int:
        """How many whole scrape intervals there are."""
        return int(self.duration / self.scrape_interval + 1e-9)

    def blind(self, at: float) -> bool:
        """The metrics cannot be read at this moment."""
        return any(e.side is Side.METRICS and e.start <= at < e.to for e in self.events)


def read_scenarios(path: Path) -> list[Scenario]:
    """All scenarios of a file. Raises UsageError: every mistake, with where and what was found."""
    found = []
    for document in read_documents(path):
        try:
            found.append(Scenario.model_validate(document.content))
        except ValidationError as error:
            raise UsageError(f"{document.where}: {_explain(error)}") from error
    return found


def _explain(error: ValidationError) -> str:
    return explain(error, "scenario").replace(
        "Extra inputs are not permitted", "unknown field: remove it or correct its name"
    )
