"""Weekly windows in local time: is one open, and when does the next one open.

By the wall clock: a window is open while a clock in its zone shows a time in it. So in the night
when clocks go forward it opens with the first minute that exists, and when they go back an hour
that is shown twice counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sluice.api.gates import WEEKDAYS, Window
from sluice.errors import UnknownZoneError

_DAY_MINUTES = 1440
# From any moment the next opening of a weekly window is at most this far, with a day to spare.
_HORIZON_DAYS = 9
_MINUTE = 60.0


def is_open(window: Window, now: float) -> bool:
    """Whether the clock shows a time in the window. Raises UnknownZoneError."""
    return _shows(window, now, _zone(window), weekdays(window))


def next_opening(windows: Iterable[Window], now: float) -> tuple[float, Window] | None:
    """When the first of the windows opens after `now` (Unix seconds), and which. None: never."""
    found = [(at, index, w) for index, w in enumerate(windows) if (at := _opens(w, now))]
    if not found:
        return None
    at, _, window = min(found, key=lambda one: one[:2])
    return at, window


def local_text(at: float, window: Window) -> str:
    """A moment for people of the window's zone: ``Mon 2026-03-30 09:00 Europe/Berlin``."""
    local = datetime.fromtimestamp(at, _zone(window))
    return f"{WEEKDAYS[local.weekday()]} {local:%Y-%m-%d %H:%M} {window.time_zone}"


def weekdays(window: Window) -> frozenset[int]:
    """The days it opens on, Monday is 0. A range may go over Sunday (Sat-Mon)."""
    days: set[int] = set()
    for text in window.days:
        first, _, last = text.partition("-")
        begin = WEEKDAYS.index(first)
        end = WEEKDAYS.index(last) if last else begin
        days |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(days)


def _zone(window: Window) -> ZoneInfo:
    try:
        return ZoneInfo(window.time_zone)
    except (OSError, ValueError, KeyError) as error:  # a KeyError: not in the database
        raise UnknownZoneError(_unknown(window)) from error


def _unknown(window: Window) -> str:
    return (
        f"the time zone {window.time_zone!r} is not known here: use a name of the IANA database, "
        "such as Europe/Berlin or UTC"
    )


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return 60 * int(hours) + int(minutes)


def _shows(window: Window, at: float, zone: ZoneInfo, days: frozenset[int]) -> bool:
    local = datetime.fromtimestamp(at, zone)
    minute, today = 60 * local.hour + local.minute, local.weekday()
    start, end = _minutes(window.start), _minutes(window.to)
    if start < end:
        return today in days and start <= minute < end
    return (today in days and minute >= start) or ((today - 1) % 7 in days and minute < end)


def _opens(window: Window, now: float) -> float | None:
    zone, days = _zone(window), weekdays(window)
    today = datetime.fromtimestamp(now, zone).date()
    for ahead in range(_HORIZON_DAYS):
        day = today + timedelta(days=ahead)
        moments = sorted(_moments(window, day, zone))
        for at in moments:
            if at > now and _shows(window, at, zone, days):
                return at
    return None


def _moments(window: Window, day: date, zone: ZoneInfo) -> set[float]:
    """The moments of a day at which the window may open."""
    begin = _at(day, 0, zone, 0)
    end = _at(day + timedelta(days=1), 0, zone, 0)
    start = _minutes(window.start)
    found = {_at(day, start, zone, fold) for fold in (0, 1)}
    if end - begin != _DAY_MINUTES * _MINUTE:  # the clocks change: any minute may be the one
        found |= {begin + _MINUTE * n for n in range(round((end - begin) / _MINUTE))}
    return found


def _at(day: date, minute: int, zone: ZoneInfo, fold: int) -> float:
    wall = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute)
    return wall.replace(tzinfo=zone, fold=fold).timestamp()
