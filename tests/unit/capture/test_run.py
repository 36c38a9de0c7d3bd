"""When the sample is written, and when not."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import structlog

from sluice.errors import ApiUnavailableError, ForbiddenError, SluiceError

from .conftest import Make, Taking, body


def feed(taking: Taking, count: int, start: int = 0) -> None:
    from sluice.capture.events import read_event

    from .conftest import HEADERS

    low = {name.lower(): value for name, value in HEADERS.items()}
    for number in range(start, start + count):
        taking.collecting.take(read_event(low), body(number))


def started(taking: Taking) -> Taking:
    taking.thread = threading.Thread(target=taking.run.run)
    taking.thread.start()
    wait(lambda: bool(taking.clock.waiting))
    return taking


def wait(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not true():
        pause.wait(0.001)


def ended(taking: Taking) -> None:
    assert taking.thread is not None
    taking.thread.join(timeout=20)
    assert not taking.thread.is_alive()
    taking.thread = None


def test_the_sample_is_written_with_what_it_is_of(make: Make) -> None:
    taking = make()
    feed(taking, 3)
    taking.clock.advance(90)
    taking.run.write()
    [(content, about)] = taking.place.written
    assert sorted(content.split()) == sorted(b'{"data":{"ndarray":[[%d]]}}' % n for n in range(3))
    assert about == {
        "deployment": "iris",
        "seen": "3",
        "kept": "3",
        "from": "2023-11-14T22:13:20.000Z",
        "to": "2023-11-14T22:14:50.000Z",
    }
    assert taking.run.written == 3


def test_what_has_not_changed_is_not_written_again(make: Make) -> None:
    taking = make(keep=3)
    feed(taking, 3)
    taking.run.write()
    taking.run.write()
    assert len(taking.place.written) == 1
    feed(taking, 100, start=3)
    taking.run.write()
    assert len(taking.place.written) == 2
    assert taking.place.written[1][1]["seen"] == "103"


def test_nothing_kept_is_nothing_written(make: Make) -> None:
    taking = make()
    taking.run.write(last=True)
    assert taking.place.written == []


def test_it_is_written_as_often_as_is_asked_for(make: Make) -> None:
    taking = started(make(every=60.0))
    feed(taking, 1)
    for _ in range(59):
        taking.clock.advance(1)
    wait(lambda: bool(taking.clock.waiting))
    assert taking.place.written == []
    taking.clock.advance(1)
    wait(lambda: len(taking.place.written) == 1)
    feed(taking, 1, start=1)
    taking.run.stop()
    ended(taking)
    assert len(taking.place.written) == 2, "once more at the end"


def test_it_ends_after_its_time(make: Make) -> None:
    taking = started(make(every=1000.0, lasting=10.0))
    feed(taking, 1)
    taking.clock.advance(10)
    ended(taking)
    assert len(taking.place.written) == 1


def test_it_ends_when_enough_requests_were_seen(make: Make) -> None:
    taking = started(make(every=1000.0, until=20, keep=5))
    feed(taking, 19)
    taking.clock.advance(1)
    wait(lambda: bool(taking.clock.waiting))
    assert taking.thread is not None
    assert taking.thread.is_alive()
    feed(taking, 1)
    taking.clock.advance(1)
    ended(taking)
    assert [about["kept"] for _, about in taking.place.written] == ["5"]


def test_a_sample_that_was_there_stays_until_this_one_is_large_enough(make: Make) -> None:
    taking = started(make(every=10.0, at_least=5))
    taking.run.stop()
    ended(taking)
    held = make(every=10.0, at_least=5)
    held.place.held = True
    started(held)
    feed(held, 4)
    held.run.write()
    assert held.place.written == []
    feed(held, 1)
    held.run.write()
    assert [about["kept"] for _, about in held.place.written] == ["5"]


def test_at_the_end_too(make: Make) -> None:
    held = make(every=10.0, at_least=5)
    held.place.held = True
    started(held)
    feed(held, 4)
    held.run.stop()
    ended(held)
    assert (held.place.written, held.run.written) == ([], 0)


def test_where_there_is_none_a_small_one_is_better(make: Make) -> None:
    taking = started(make(every=10.0, at_least=5))
    feed(taking, 1)
    taking.run.write()
    feed(taking, 1)
    taking.run.write()
    assert [about["kept"] for _, about in taking.place.written] == ["1", "2"]


def test_what_does_not_fit_is_cut_and_said_once(make: Make) -> None:
    taking = make(keep=100)
    taking.place.most = 1000
    feed(taking, 100)
    with structlog.testing.capture_logs() as logged:
        taking.run.write()
        feed(taking, 100)
        taking.run.write()
    [content, *_] = taking.place.written[0]
    assert len(content) <= 1000
    assert int(taking.place.written[0][1]["kept"]) < 100
    assert sum("does not fit" in str(entry["event"]) for entry in logged) == 1


def test_where_not_even_one_fits_that_is_an_error(make: Make) -> None:
    taking = make()
    taking.place.most = 3
    feed(taking, 1)
    with pytest.raises(SluiceError, match="not even one request fits"):
        taking.run.write(last=True)


def test_a_write_that_fails_is_tried_again_and_the_last_one_is_raised(make: Make) -> None:
    taking = make()
    feed(taking, 1)
    taking.place.fail = ApiUnavailableError("away")
    with structlog.testing.capture_logs() as logged:
        taking.run.write()
    assert logged[0]["log_level"] == "error"
    with pytest.raises(ApiUnavailableError):
        taking.run.write(last=True)
    taking.place.fail = None
    taking.run.write()
    assert len(taking.place.written) == 1
    failures = taking.run.metrics.registry.get_sample_value("sluice_capture_write_failures_total")
    assert failures == 2


def test_a_missing_right_ends_it_before_it_has_begun(make: Make) -> None:
    taking = make()
    taking.place.fail = ForbiddenError("the verb patch is missing")
    with pytest.raises(ForbiddenError):
        taking.run.run()


def test_an_api_server_that_is_away_at_the_start_is_waited_for(make: Make) -> None:
    taking = make(every=10.0, at_least=2)
    taking.place.fail = ApiUnavailableError("away")
    started(taking)
    taking.place.fail = None
    feed(taking, 1)
    taking.run.write()
    assert taking.place.written == [], "there may be a sample that nobody has seen yet"
    feed(taking, 1)
    taking.run.write()
    assert len(taking.place.written) == 1


def test_several_nodes_that_log_are_said_once(make: Make) -> None:
    taking = make(serve=True)
    from .conftest import HEADERS

    with structlog.testing.capture_logs() as logged:
        for node in ("root", "child", "other"):
            taking.post(body(1), {**HEADERS, "Ce-Modelid": node})
    assert [entry["nodes"] for entry in logged if "nodes" in entry] == [["child", "root"]]
