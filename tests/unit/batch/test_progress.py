"""What a person and a log are told while it runs."""

from __future__ import annotations

import io

from sluice.cli.batch_progress import Meter
from sluice.testing.clock import ManualClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_every_ten_seconds_with_speed_and_time_left() -> None:
    clock, log = ManualClock(), io.StringIO()
    with Meter(clock, stream=log) as meter:
        meter.tell(1000, 0, 0.1, "")  # what earlier runs did is no speed of this one
        for _ in range(20):
            clock.advance(1.0)
            meter.tell(3000, 5, 0.3, "")
    assert log.getvalue().splitlines() == [
        "30%  3,000 rows, 5 failed, 200 a second, about 35s left",
        "30%  3,000 rows, 5 failed, 100 a second, about 1m10s left",
    ]


def test_waiting_is_told_when_it_begins_and_ends() -> None:
    log = io.StringIO()
    with Meter(ManualClock(), stream=log) as meter:
        for trouble in ("", "HTTP 503", "HTTP 503", ""):
            meter.tell(1, 0, 0.5, trouble)
    assert log.getvalue().splitlines() == ["waiting: HTTP 503", "going on"]


def test_a_terminal_gets_a_bar_and_lines_above_it() -> None:
    clock, terminal = ManualClock(), Terminal()
    with Meter(clock, stream=terminal) as meter:
        meter.tell(0, 0, 0.0, "")
        clock.advance(1.0)
        meter.tell(500, 1, 0.5, "HTTP 503: [/b]")
        meter.say("warning: [x]")
    assert "warning: [x]" in terminal.getvalue()
    assert "50%" in terminal.getvalue()


def test_quiet_says_warnings_alone() -> None:
    clock, log = ManualClock(), io.StringIO()
    with Meter(clock, quiet=True, stream=log) as meter:
        meter.tell(0, 0, 0.0, "")
        clock.advance(100.0)
        meter.tell(500, 1, 0.5, "HTTP 503")
        meter.say("warning: x")
    assert log.getvalue() == "warning: x\n"
