"""The situations of the benchmark: what is true of the candidate, and when."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

MINUTES = 60
SCRAPE = 15.0
ERRORS = 0.005
MEDIAN, SIGMA = 0.05, 0.6
"""Seconds; latency is lognormal."""

Curve = Callable[[float], float]
"""A value at a time in seconds since the start."""


def always(value: float) -> Curve:
    """The same at all times."""
    return lambda _: value


def between(start: float, end: float, inside: float, outside: float = 1.0) -> Curve:
    """`inside` from `start` to `end` (minutes), else `outside`."""
    return lambda t: inside if start * 60 <= t < end * 60 else outside


_AS_THE_STABLE = always(1.0)
_TWENTY = always(20.0)
_USUAL = always(ERRORS)


@dataclass(frozen=True)
class Cell:
    """One situation.

    `truth`: "acceptable" (a rollback is wrong), "harmful" (a promotion is wrong) or "between"
    (either is right). `times_errors` and `times_latency` are the candidate's error rate and latency
    relative to the stable's; `tail` a share of its requests that take ten times as long.
    `errors` is the stable's rate. `fano`: variance of the failures per scrape and side over their
    mean. `bad_edge`: which requests are bad; 0 counts failures, else those slower than that
    (seconds). `outage`: minutes without metrics. `harm_from`: minutes.
    """

    name: str
    what: str
    truth: str
    rps: Curve = _TWENTY
    errors: Curve = _USUAL
    times_errors: Curve = _AS_THE_STABLE
    times_latency: Curve = _AS_THE_STABLE
    tail: float = 0.0
    fano: float = 1.0
    bad_edge: float = 0.0
    outage: tuple[float, float] | None = None
    harm_from: float = 0.0
    ratio: float = 1.0


def _wave(low: float, high: float) -> Curve:
    middle, swing = (low + high) / 2, (high - low) / 2
    return lambda t: middle + swing * math.sin(2 * math.pi * t / 3600.0)


def _blinking(t: float) -> float:
    return 20.0 if 60.0 <= t % 300.0 < 90.0 else 1.0


def _times(ratio: float, truth: str) -> Cell:
    return Cell(
        f"errors x{ratio:g}",
        f"{ERRORS * ratio * 100:.3g}% of the candidate's requests fail",
        truth,
        times_errors=always(ratio),
        ratio=ratio,
    )


def _slower(name: str, factor: float) -> Cell:
    # Compared by shares beyond the bucket edges even a fifth more time is more than double: at
    # 250 ms .37% become .87%. So all of these are unacceptable by the policy.
    return Cell(
        f"latency {name}",
        f"every request of the candidate takes {factor:g} times as long",
        "harmful",
        times_latency=always(factor),
        bad_edge=0.25,
    )


HEALTHY = "healthy"
CELLS = (
    Cell(HEALTHY, "the candidate is like the stable", "acceptable"),
    Cell(
        "bursty",
        "like the stable; each side's failures come in bunches (variance twice the mean)",
        "acceptable",
        fano=2,
    ),
    Cell("very bursty", "the same with a variance four times the mean", "acceptable", fano=4),
    Cell(
        "cold start",
        "like the stable, but five times as slow in its first 30 s",
        "acceptable",
        times_latency=between(0, 0.5, 5.0),
    ),
    Cell(
        "long cold start",
        "the same for 60 s",
        "acceptable",
        times_latency=between(0, 1, 5.0),
    ),
    Cell(
        "shared outage",
        "20% of both sides' requests fail from minute 10 to 15",
        "acceptable",
        errors=between(10, 15, 0.2, ERRORS),
    ),
    Cell(
        "diurnal",
        "5 to 35 requests/s and .25% to .75% failures, as waves",
        "acceptable",
        rps=_wave(5, 35),
        errors=_wave(0.0025, 0.0075),
    ),
    Cell("low traffic 1/s", "like the stable at 1 request/s", "acceptable", rps=always(1.0)),
    Cell("low traffic .1/s", "like the stable at .1 requests/s", "acceptable", rps=always(0.1)),
    Cell(
        "metrics outage",
        "like the stable; no metrics from minute 5 to 15",
        "acceptable",
        outage=(5, 15),
    ),
    _times(1.2, "between"),
    _times(1.5, "between"),
    _times(2.0, "harmful"),
    _times(5.0, "harmful"),
    _times(20.0, "harmful"),
    _slower("+20%", 1.2),
    _slower("+50%", 1.5),
    _slower("x2", 2.0),
    Cell(
        "tail only",
        "2% of the candidate's requests take ten times as long",
        "harmful",
        tail=0.02,
        bad_edge=0.25,
    ),
    Cell(
        "late",
        "errors x5 from minute 8 on",
        "harmful",
        times_errors=between(8, MINUTES, 5.0),
        harm_from=8,
        ratio=5.0,
    ),
    Cell(
        "intermittent",
        "errors x20 for 30 s in every 5 minutes",
        "harmful",
        times_errors=_blinking,
    ),
)
