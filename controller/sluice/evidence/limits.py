"""What no test can beat: events and requests needed, by information alone.

A sequential test that errs with probability `risk` needs on average ln(1/risk) / KL observations
(Wald 1945). A real one needs 1.2 to 1.5 times that: it does not know the true effect in advance.
"""

from __future__ import annotations

import math


def share_of_events(ratio: float, share: float) -> float:
    """theta(R): the candidate's part of all events when its rate is `ratio` times the stable's.

    `share` is the candidate's part of the requests.
    """
    return ratio * share / (ratio * share + 1.0 - share)


def divergence(p: float, q: float) -> float:
    """KL divergence of Bernoulli(p) from Bernoulli(q), nats; infinite where q excludes p."""
    total = 0.0
    for a, b in ((p, q), (1.0 - p, 1.0 - q)):
        if a > 0:
            if b <= 0:
                return math.inf
            total += a * math.log(a / b)
    return total


def _needed(risk: float, information: float) -> float:
    return math.log(1.0 / risk) / information if information > 0 else math.inf


def events_to_harm(ratio: float, share: float, *, acceptable: float = 1.0, alpha: float) -> float:
    """Expected events of both sides until harm is shown, if the true ratio is `ratio`."""
    if ratio <= acceptable:
        return math.inf
    truth, null = share_of_events(ratio, share), share_of_events(acceptable, share)
    return _needed(alpha, divergence(truth, null))


def events_to_pass(ratio: float, share: float, *, unacceptable: float, beta: float) -> float:
    """Expected events of both sides until non-inferiority is shown."""
    if ratio >= unacceptable:
        return math.inf
    truth, null = share_of_events(ratio, share), share_of_events(unacceptable, share)
    return _needed(beta, divergence(truth, null))


def requests_below(rate: float, boundary: float, beta: float) -> float:
    """Expected candidate requests until its rate is shown to be below `boundary`."""
    return _needed(beta, divergence(rate, boundary)) if rate < boundary else math.inf


def requests_above(rate: float, boundary: float, alpha: float) -> float:
    """Expected candidate requests until its rate is shown to be above `boundary`."""
    return _needed(alpha, divergence(rate, boundary)) if rate > boundary else math.inf


def seconds_of(
    events: float, *, ratio: float, share: float, stable_rate: float, rps: float
) -> float:
    """How long that many events of both sides take at `rps` requests a second, both together."""
    per_second = rps * stable_rate * (ratio * share + 1.0 - share)
    return events / per_second if per_second > 0 else math.inf
