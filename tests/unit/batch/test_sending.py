"""What is tried again, what waits, what fails a row, and what ends the run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sluice.batch.pace import OutageError, Pace, StoppedError, Weather
from sluice.batch.payloads import Form, Payload, Shape
from sluice.batch.rows import Row
from sluice.batch.sending import Sender, TargetRefusedError, excerpt
from sluice.batch.wire import NoAnswerError, Reply, _retry_after
from sluice.testing.clock import ManualClock

Act = Callable[[list[Any]], Reply]


class PassingClock(ManualClock):
    """Whoever waits has the time pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.advance(seconds)
        return event.is_set()


class Setting:
    """A sender whose target answers by `act`, given the rows of a request."""

    def __init__(self, act: Act, *, attempts: int = 3, patience: float = 60.0, **shape: Any):
        self.asked: list[list[Any]] = []
        self.ids: list[str] = []
        self.clock = PassingClock()
        self.stop = threading.Event()
        self.weather = Weather(self.clock, patience)
        self.pace = Pace(self.clock, None, self.stop)
        self._act = act
        options = {"form": Form.PREDICTION, "batch_id": "b", **shape}
        whole = Shape(Payload.NDARRAY, **options)
        self.sender = Sender(self._exchange, whole, self.pace, self.weather, attempts)

    def _exchange(self, body: bytes, request_id: str) -> Reply:
        rows = json.loads(body)["data"]["ndarray"]
        self.asked.append([row[0] for row in rows])
        self.ids.append(request_id)
        return self._act(self.asked[-1])

    def send(self, *values: Any) -> list[Any]:
        rows = [Row(number, [value]) for number, value in enumerate(values)]
        return [json.loads(one.line) for one in self.sender.send(rows)]


def ok(values: list[Any]) -> Reply:
    return Reply(200, json.dumps({"data": {"ndarray": [[-value] for value in values]}}).encode())


def failure(status: int = 500, info: str = "no such flower", reason: str = "MODEL") -> Reply:
    return Reply(status, json.dumps({"status": {"info": info, "reason": reason}}).encode())


def turns(*acts: Reply | Exception | Act) -> Act:
    """One after the other; the last one for ever."""
    left = list(acts)

    def act(values: list[Any]) -> Reply:
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, Exception):
            raise now
        return now if isinstance(now, Reply) else now(values)

    return act


def test_rows_that_share_a_request_get_their_own_answers() -> None:
    setting = Setting(ok)
    assert [one["prediction"] for one in setting.send(1, 2, 3)] == [[-1], [-2], [-3]]
    assert setting.asked == [[1, 2, 3]]


def test_the_row_at_fault_is_found_and_the_others_are_answered() -> None:
    setting = Setting(lambda values: failure() if 5 in values else ok(values))
    found = setting.send(*range(8))
    assert [one.get("prediction", one.get("reason")) for one in found] == [
        [0], [-1], [-2], [-3], [-4], "HTTP 500: MODEL: no such flower", [-6], [-7],
    ]  # fmt: skip
    assert found[5] == {
        "row": 5, "id": None, "reason": "HTTP 500: MODEL: no such flower", "status": 500,
        "attempts": 3, "input": [5],
    }  # fmt: skip
    assert setting.asked.count([5]) == 3


def test_a_refused_row_is_not_sent_again() -> None:
    setting = Setting(lambda values: failure(400))
    assert setting.send(1)[0]["attempts"] == 1


def test_what_cannot_be_sent_is_not_sent() -> None:
    setting = Setting(ok)
    rows = [Row(0, [1]), Row(1, "text"), Row(2, bad="not JSON", raw="{"), Row(3, [float("inf")])]
    lines = [json.loads(one.line) for one in setting.sender.send(rows)]
    assert lines[0]["prediction"] == [-1]
    assert [one["reason"] for one in lines[1:3]] == [
        "expected an array of values, found a text",
        "not JSON",
    ]
    assert "cannot be written as JSON" in lines[3]["reason"]
    assert lines[2]["raw"] == "{"
    assert [value for asked in setting.asked for value in asked] == [1]


@pytest.mark.parametrize(
    "away",
    [
        failure(
            500,
            'Post "http://m:9000/predict": dial tcp 10.0.0.1:9000: connect: connection refused',
            "",
        ),
        Reply(503, b"no healthy upstream"),
        Reply(429, b""),
        NoAnswerError("refused"),
        Reply(502, b""),
    ],
)
def test_a_target_that_is_away_for_a_while_fails_no_row(away: Reply | Exception) -> None:
    setting = Setting(turns(*[away] * 8, ok))
    assert setting.send(1)[0]["prediction"] == [-1]
    assert setting.asked == [[1]] * 9
    assert setting.weather.trouble == ""


def test_the_pauses_grow_up_to_half_a_minute() -> None:
    setting = Setting(turns(*[Reply(503, b"")] * 12, ok), patience=1000)
    setting.send(1)
    most = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert len(setting.clock.waits) == 11  # the first new try is at once
    for waited, bound in zip(setting.clock.waits, most, strict=False):
        assert bound / 2 <= waited <= bound


def test_retry_after_holds_everybody() -> None:
    setting = Setting(turns(Reply(429, b"", retry_after=7.0), ok))
    began = setting.clock.monotonic()
    setting.send(1)
    assert setting.clock.monotonic() - began == 7.0


def test_an_outage_that_does_not_end_ends_the_run_and_not_the_rows() -> None:
    setting = Setting(turns(NoAnswerError("ConnectionRefusedError: refused")), patience=60)
    with pytest.raises(OutageError, match=r"not answered for \d+s \(ConnectionRefused"):
        setting.send(1)
    assert 60 <= sum(setting.clock.waits) < 120


def test_an_outage_is_counted_from_its_own_beginning() -> None:
    setting = Setting(turns(ok, Reply(503, b""), ok))
    setting.send(1)
    setting.clock.advance(3600)  # held for a rollout
    assert setting.send(2)[0]["prediction"] == [-2]


def test_without_patience_an_outage_fails_rows_as_any_other_error() -> None:
    setting = Setting(turns(Reply(503, b"none")), patience=0)
    found = setting.send(1)[0]
    assert (found["reason"], found["status"], found["attempts"]) == ("HTTP 503: none", 503, 3)


def test_a_row_that_breaks_its_connections_fails_while_others_are_answered() -> None:
    def poison(values: list[Any]) -> Reply:
        if 13 in values:
            raise NoAnswerError("reset")
        return ok(values)

    setting = Setting(poison)
    assert setting.send(1)[0]["prediction"] == [-1]
    found = setting.send(13)[0]  # alone by now: what was answered before tells that it is the row
    assert found["reason"] == "reset"
    assert setting.asked == [[1], [13], [13], [13], [1], [13], [1], [13], [1], [13]]


def test_a_row_that_brings_the_server_down_fails_when_the_server_is_back() -> None:
    down = 0

    def crashing(values: list[Any]) -> Reply:
        nonlocal down
        down = 3 if 13 in values else max(0, down - 1)
        if down:
            raise NoAnswerError("refused")
        return ok(values)

    setting = Setting(crashing)
    setting.send(1)
    found = setting.send(13)[0]
    assert (found["row"], found["reason"]) == (0, "refused")
    assert setting.send(2)[0]["prediction"] == [-2]


def test_feedback_is_never_repeated_to_look_whether_the_target_is_there() -> None:
    assert not Shape(Payload.FEEDBACK).repeatable
    assert Shape(Payload.MESSAGE).repeatable


def test_a_row_that_takes_too_long_fails_all_by_itself() -> None:
    def slow(values: list[Any]) -> Reply:
        if 2 in values:
            raise NoAnswerError("no answer within 60s", slow=True)
        return ok(values)

    found = Setting(slow).send(1, 2)
    assert found[0]["prediction"] == [-1]
    assert (found[1]["reason"], found[1]["attempts"]) == ("no answer within 60s", 3)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 405])
def test_what_all_rows_would_get_ends_the_run(status: int) -> None:
    with pytest.raises(TargetRefusedError, match=f"HTTP {status}"):
        Setting(lambda values: Reply(status, b"no")).send(1)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>oops", "the answer is not JSON: <html>oops"),
        (b"", "the answer is not JSON: an empty body"),
        (b"[1]", "the answer is no object: [1]"),
        (b'{"status": {"status": "FAILURE", "info": "bad day"}}', "said FAILURE: bad day"),
        (b'{"meta": {}}', "the answer has no ndarray"),
    ],
)
def test_an_answer_without_use_fails_the_row(body: bytes, why: str) -> None:
    assert why in Setting(lambda values: Reply(200, body)).send(1)[0]["reason"]


def test_short_answers_are_asked_for_row_by_row() -> None:
    def short(values: list[Any]) -> Reply:
        return ok(values[:1])

    setting = Setting(short)
    assert [one["prediction"] for one in setting.send(1, 2, 3)] == [[-1], [-2], [-3]]
    assert setting.asked == [[1, 2, 3], [1], [2], [3]]
    setting.send(1, 2)
    setting.send(1, 2)
    setting.asked.clear()
    setting.send(1, 2)  # by now it is known
    assert setting.asked == [[1], [2]]
    assert not setting.sender.joins


def test_a_request_that_is_repeated_keeps_its_id() -> None:
    setting = Setting(turns(NoAnswerError("reset"), ok))
    setting.send(1)
    assert setting.ids == ["b-0", "b-0"]


def test_who_waits_is_stopped_at_once() -> None:
    setting = Setting(turns(Reply(503, b"")))
    setting.stop.set()
    with pytest.raises(StoppedError):
        setting.send(1)


def test_the_rate_is_kept_by_all_senders_together() -> None:
    clock = PassingClock()
    pace = Pace(clock, 4.0, threading.Event())
    began = clock.monotonic()
    for _ in range(9):
        pace.take()
    assert clock.monotonic() - began == 2.0


def test_a_servers_wish_to_wait_is_understood_in_both_forms() -> None:
    assert _retry_after("3") == 3.0
    assert _retry_after("Thu, 01 Jan 1970 00:01:40 GMT", now=lambda: 70.0) == 30.0
    assert _retry_after("99999999") == 300.0
    assert _retry_after("-1") == 0.0
    assert _retry_after("soon") is None
    assert _retry_after("nan") is None
    assert _retry_after(None) is None


def test_an_answers_excerpt_is_one_short_printable_line() -> None:
    assert excerpt(b"a\n\x1b[31mb") == "a \ufffd[31mb"
    assert len(excerpt(b"x" * 5000)) == 201


def test_one_answer_to_others_is_no_excuse_for_the_outage_after_it() -> None:
    def going(values: list[Any]) -> Reply:
        if len(setting.asked) == 2:
            setting.weather.answered()  # somebody else's row, just before the target went
        raise NoAnswerError("refused")

    setting = Setting(going)
    with pytest.raises(OutageError):
        setting.send(1)
    assert len(setting.asked) > 5
