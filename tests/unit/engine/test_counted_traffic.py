"""Shares verified by counted requests: a sample, neither exact nor anything goes."""

from __future__ import annotations

import pytest

from sluice.engine.traffic import counted_as, shares_of


@pytest.mark.parametrize(
    ("wanted", "requests", "agree"),
    [
        ({"s": 80, "c": 20}, {"s": 79, "c": 21}, True),
        ({"s": 80, "c": 20}, {"s": 7, "c": 1}, True),
        ({"s": 80, "c": 20}, {"s": 500, "c": 500}, False),
        ({"s": 95, "c": 5}, {"s": 100, "c": 0}, False),
        ({"s": 95, "c": 5}, {"s": 9_000, "c": 1_000}, False),
        ({"s": 0, "c": 100}, {"s": 0, "c": 3}, True),
        ({"s": 0, "c": 100}, {"s": 1, "c": 999}, True),
        ({"s": 0, "c": 100}, {"s": 50, "c": 950}, False),
        ({"s": 100}, {"s": 90, "c": 10}, False),
        ({"s": 100}, {}, False),
        ({"s": 100}, {"s": 0, "c": 0}, False),
    ],
)
def test_counted_requests_against_the_wanted_shares(
    wanted: dict[str, int], requests: dict[str, float], agree: bool
) -> None:
    assert counted_as(wanted, requests) is agree


def test_shares_are_whole_percents_and_none_without_requests() -> None:
    assert shares_of({"s": 2, "c": 1}) == {"s": 67, "c": 33}
    assert shares_of({}) is None
    assert shares_of({"s": 0}) is None
