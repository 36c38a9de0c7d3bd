"""The information limits: the published tables, row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from sluice.evidence import limits

HARM = {
    0.05: ((1.5, 926, 151), (2, 267, 42), (5, 30, 4.2), (20, 5, 0.5)),
    0.2: ((1.5, 302, 46), (2, 95, 13), (5, 15, 1.4), (20, 5, 0.2)),
    0.5: ((1.5, 229, 31), (2, 81, 9), (5, 19, 1.1), (20, 9, 0.1)),
}
PASS = {
    0.05: ((1.2, 3591, 598), (1.5, 678, 113), (2, 212, 35), (3, 74, 12)),
    0.2: ((1.2, 1087, 181), (1.5, 211, 35), (2, 69, 11), (3, 26, 4)),
    0.5: ((1.2, 722, 120), (1.5, 147, 24), (2, 51, 8), (3, 21, 3)),
}


def rows(table: Mapping[float, tuple[tuple[float, ...], ...]]) -> list[tuple[float, ...]]:
    return [(share, *row) for share, lines in table.items() for row in lines]


@pytest.mark.parametrize(("share", "ratio", "events", "minutes"), rows(HARM))
def test_harm_needs_these_events(share: float, ratio: float, events: float, minutes: float) -> None:
    found = limits.events_to_harm(ratio, share, alpha=0.01)
    assert found == pytest.approx(events, abs=0.6)
    seconds = limits.seconds_of(found, ratio=ratio, share=share, stable_rate=0.005, rps=20)
    assert seconds / 60 == pytest.approx(minutes, abs=0.6 if minutes >= 5 else 0.06)


@pytest.mark.parametrize(("share", "ratio", "events", "minutes"), rows(PASS))
def test_promotion_needs_these_events(
    share: float, ratio: float, events: float, minutes: float
) -> None:
    found = limits.events_to_pass(1.0, share, unacceptable=ratio, beta=0.05)
    assert found == pytest.approx(events, abs=0.6)
    seconds = limits.seconds_of(found, ratio=1.0, share=share, stable_rate=0.005, rps=20)
    assert seconds / 60 == pytest.approx(minutes, abs=0.6)


@pytest.mark.parametrize(
    ("rate", "boundary", "requests"),
    [
        (0.0, 0.01, 298),
        (0.0005, 0.001, 19_510),
        (0.001, 0.005, 1_249),
        (0.005, 0.01, 1_937),
        (0.005, 0.02, 366),
    ],
)
def test_the_absolute_form_needs_these_requests(
    rate: float, boundary: float, requests: float
) -> None:
    assert limits.requests_below(rate, boundary, 0.05) == pytest.approx(requests, abs=1)


def test_what_cannot_be_shown_takes_forever() -> None:
    assert limits.events_to_harm(1.0, 0.2, alpha=0.01) == math.inf
    assert limits.events_to_pass(2.0, 0.2, unacceptable=2.0, beta=0.05) == math.inf
    assert limits.requests_below(0.01, 0.01, 0.05) == math.inf
    assert limits.requests_above(0.01, 0.01, 0.05) == math.inf
