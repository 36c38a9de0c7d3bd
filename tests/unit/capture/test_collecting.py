"""What becomes of an event."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from sluice.capture.collecting import WHY, Collecting, Outcome, Wanted
from sluice.capture.events import Event, NotAnEvent, read_event
from sluice.capture.redacting import Redaction
from sluice.capture.sample import Sample

BODY = b'{"data": {"ndarray": [[1, 2.50]]}}'
TYPE = "io.seldon.serving.inference.request"


def event(kind: str = "request", **changes: str) -> Event:
    said = {"deployment": "iris", "namespace": "prod", "predictor": "v1", "node": "model"}
    return Event(kind, **{**said, **changes})


def collecting(*, keep: int = 10, drop: tuple[str, ...] = (), **wanted: Any) -> Collecting:
    sample = Sample(keep, 10_000, random.Random(1))
    return Collecting(Wanted("iris", **wanted), sample, Redaction(drop), largest=1000)


def test_a_request_is_kept_as_one_line_of_the_same_numbers() -> None:
    held = collecting()
    pretty = b'{\n "data": {"ndarray": [[1, 2.50, 1e3, 12345678901234567890]]},\n "meta": {}\n}'
    assert held.take(event(), pretty) is Outcome.KEPT
    [body] = held.snapshot().bodies
    assert body == b'{"data":{"ndarray":[[1,2.5,1000.0,12345678901234567890]]}}'
    assert json.loads(body)["data"] == json.loads(pretty)["data"]
    assert held.snapshot().seen == 1


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", Outcome.NOT_JSON),
        (b"no json", Outcome.NOT_JSON),
        (b"\xff\xfe\x00", Outcome.NOT_JSON),
        (b"[1, 2]", Outcome.NOT_JSON),
        (b"7", Outcome.NOT_JSON),
        (b"{}", Outcome.NOT_JSON),
        (b'{"meta": {"puid": "x"}}', Outcome.NOT_JSON),
        (b'{"data": {"ndarray": [[NaN]]}}', Outcome.NOT_JSON),
        (b'{"data": {"ndarray": [[1e999]]}}', Outcome.NOT_JSON),
        (b'{"a":' * 150 + b"1" + b"}" * 150, Outcome.KEPT),
        (b"[" * 999, Outcome.NOT_JSON),
        (b'{"a": "' + b"x" * 1000 + b'"}', Outcome.TOO_LARGE),
        (None, Outcome.TOO_LARGE),
    ],
)
def test_a_body_that_no_preflight_could_send_is_not_kept(
    body: bytes | None, outcome: Outcome
) -> None:
    held = collecting()
    assert held.take(event(), body) is outcome
    assert held.counts == {outcome: 1}
    assert len(held.snapshot().bodies) == (outcome is Outcome.KEPT)


def test_a_body_that_is_nested_too_deeply_is_not_kept() -> None:
    held = collecting()
    held.largest = 10**7
    assert held.take(event(), b'{"a":' * 100_000 + b"1" + b"}" * 100_000) is Outcome.NOT_JSON


def test_what_is_not_asked_for_is_counted_and_not_kept() -> None:
    held = collecting(namespace="prod", predictor="v1")
    assert held.take(event("response"), BODY) is Outcome.RESPONSE
    assert held.take(event("feedback"), BODY) is Outcome.FEEDBACK
    for changes in ({"deployment": "other"}, {"namespace": "stage"}, {"predictor": "v2"}):
        assert held.take(event(**changes), BODY) is Outcome.ELSEWHERE
    assert held.take(event(namespace=""), BODY) is Outcome.KEPT
    assert held.counts[Outcome.ELSEWHERE] == 3
    assert held.snapshot().seen == 1


def test_any_predictor_and_namespace_where_none_is_asked_for() -> None:
    held = collecting()
    assert held.take(event(predictor="v2", namespace="x"), BODY) is Outcome.KEPT


def test_a_request_whose_columns_cannot_be_told_is_not_kept() -> None:
    held = collecting(drop=("age",))
    assert held.take(event(), BODY) is Outcome.NOT_REDACTED
    assert held.snapshot().bodies == []


def test_a_full_sample_passes_most_over_and_counts_them() -> None:
    held = collecting(keep=5)
    for _ in range(500):
        held.take(event(), BODY)
    assert len(held.snapshot().bodies) == 5
    assert held.snapshot().seen == 500
    assert held.counts[Outcome.PASSED_OVER] > 400


def test_names_of_nodes_do_not_fill_the_memory() -> None:
    held = collecting()
    for number in range(100):
        held.take(event(node=f"n{number}"), BODY)
    assert 1 < len(held.nodes) < 10


def test_every_refusal_is_explained() -> None:
    assert set(Outcome) - set(WHY) == {Outcome.KEPT, Outcome.PASSED_OVER}


def test_headers_of_the_logger_are_understood() -> None:
    said = {
        "ce-type": TYPE,
        "ce-inferenceservicename": "iris",
        "ce-namespace": "prod",
        "ce-endpoint": "v1",
        "ce-modelid": "model",
    }
    assert read_event(said) == event()
    assert read_event({"ce-type": TYPE}) == Event("request", "", "", "", "")


@pytest.mark.parametrize(
    ("headers", "found"),
    [({}, "found none"), ({"ce-type": "dev.knative.x" * 50}, "found 'dev.knative")],
)
def test_other_requests_are_no_events(headers: dict[str, str], found: str) -> None:
    with pytest.raises(NotAnEvent, match=found) as caught:
        read_event(headers)
    assert len(str(caught.value)) < 300
