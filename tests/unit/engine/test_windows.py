"""Weekly windows by the wall clock, around the nights when clocks change."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from sluice.api.gates import Window
from sluice.engine.windows import is_open, local_text, next_opening
from sluice.errors import UnknownZoneError

BERLIN = ZoneInfo("Europe/Berlin")


def window(start: str = "09:00", to: str = "16:00", days: str = "Mon-Thu", **more: Any) -> Window:
    return Window.model_validate(
        {"days": [days], "from": start, "to": to, "timeZone": "Europe/Berlin", **more}
    )


def at(text: str, fold: int = 0) -> float:
    """Unix seconds of a wall-clock time in Berlin; `fold` 1: the second of an hour shown twice."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def opens(one: Window, now: float) -> float:
    found = next_opening([one], now)
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    ("now", "open_"),
    [
        ("2026-11-23T08:59:59", False),  # a Monday
        ("2026-11-23T09:00:00", True),
        ("2026-11-26T15:59:59", True),
        ("2026-11-26T16:00:00", False),
        ("2026-11-27T12:00:00", False),  # a Friday
    ],
)
def test_open_from_its_first_second_to_the_last_before_its_end(now: str, open_: bool) -> None:
    assert is_open(window(), at(now)) is open_


def test_over_midnight_it_belongs_to_the_day_it_opened_on() -> None:
    night = window("22:00", "04:00", "Sun")
    assert is_open(night, at("2026-11-22T23:00:00"))
    assert is_open(night, at("2026-11-23T03:59:59"))
    assert not is_open(night, at("2026-11-23T04:00:00"))
    assert not is_open(night, at("2026-11-22T03:00:00"))


def test_a_range_of_days_may_go_over_the_weekend() -> None:
    one = window(days="Sat-Mon")
    openings = [is_open(one, at(f"2026-11-{day}T10:00:00")) for day in range(20, 25)]
    assert openings == [False, True, True, True, False]  # Fri, Sat, Sun, Mon, Tue


def test_the_same_wall_clock_time_in_winter_and_in_summer() -> None:
    friday = at("2026-03-27T10:00:00")
    monday = opens(window(), friday)
    assert monday == at("2026-03-30T09:00:00")
    assert monday - friday == (3 * 24 - 1 - 1) * 3600, "one hour of that weekend is missing"
    assert local_text(monday, window()) == "Mon 2026-03-30 09:00 Europe/Berlin"
    autumn = at("2026-10-23T10:00:00")
    assert opens(window(), autumn) - autumn == (3 * 24 - 1 + 1) * 3600


def test_an_opening_in_the_hour_that_does_not_exist_is_the_first_minute_after_it() -> None:
    one = window("02:30", "04:00", "Sun")
    assert opens(one, at("2026-03-29T01:00:00")) == at("2026-03-29T03:00:00")
    assert is_open(one, at("2026-03-29T03:00:00"))
    assert not is_open(one, at("2026-03-29T03:00:00") - 1)


def test_a_window_inside_the_hour_that_does_not_exist_is_left_out_that_day() -> None:
    one = window("02:10", "02:50", "Sun")
    assert opens(one, at("2026-03-29T01:00:00")) == at("2026-04-05T02:10:00")


def test_an_hour_that_is_shown_twice_counts_twice() -> None:
    one = window("02:30", "02:45", "Sun")
    first, second = at("2026-10-25T02:30:00"), at("2026-10-25T02:30:00", fold=1)
    assert second - first == 3600
    assert opens(one, at("2026-10-25T01:00:00")) == first
    assert opens(one, first + 20 * 60) == second
    assert is_open(one, second)


def test_the_first_of_several_windows_is_named() -> None:
    later, sooner = window(days="Thu"), window(days="Tue", timeZone="America/New_York")
    found = next_opening([later, sooner], at("2026-11-23T20:00:00"))
    assert found is not None
    assert found[1] is sooner
    assert local_text(found[0], sooner) == "Tue 2026-11-24 09:00 America/New_York"


def test_every_minute_of_two_odd_weeks_agrees_with_what_was_announced() -> None:
    """Brute force: walking through the change of the clocks, the announced opening is the next."""
    one = window("01:30", "03:15", "Sat-Mon")
    now, end = at("2026-10-23T00:00:00"), at("2026-10-27T12:00:00")
    announced = None
    was_open = is_open(one, now)
    while now < end:
        if not was_open and announced is None:
            announced = opens(one, now)
        now += 60
        open_now = is_open(one, now)
        if open_now and not was_open:
            assert announced == now
            announced = None
        was_open = open_now


def test_an_unknown_zone_says_what_was_expected() -> None:
    with pytest.raises(UnknownZoneError, match=r"Europe/Atlantis.*IANA"):
        is_open(window(timeZone="Europe/Atlantis"), 0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": ["Monday"]},
        {"days": ["Mon-Tue-Wed"]},
        {"days": []},
        {"from": "9:00"},
        {"from": "24:00"},
        {"to": "24:01"},
        {"timeZone": "../etc/passwd"},
    ],
)
def test_what_is_no_window_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate(wrong)
