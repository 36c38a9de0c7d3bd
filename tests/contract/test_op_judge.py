"""The judge itself: a stand-in that misbehaves must not get through."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import UsageError
from sluice.sandbox.contract import Difference
from sluice.sandbox.contract.judging import (
    Templates,
    compare_answer,
    compare_events,
    compare_state,
    learn_templates,
)
from sluice.sandbox.contract.known import Known, known_differences, reason_for
from sluice.sandbox.contract.recordings import load, read

Json = dict[str, Any]


def state() -> Json:
    return {
        "generation": 1,
        "virtual_service_name": "iris",
        "virtual_service_generation": 1,
        "services": [{"name": "iris-main"}],
        "virtual_service": [{"route": [{"subset": "main", "weight": 100}]}],
        "destination_rules": [],
        "hpas": [],
        "deployments": {
            "main": {
                "generation": 1,
                "replicas": 1,
                "template_sha256": "ours",
                "status": {"readyReplicas": 1},
                "containers": [],
                "labels": {},
                "deleting": False,
            }
        },
        "status": {
            "state": "Available",
            "serviceStatus": {"iris-main": {}},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def recorded() -> Json:
    after = copy.deepcopy(state())
    after["deployments"]["main"] |= {"template_sha256": "theirs", "labels": "as in another file"}
    after["status"] |= {"serviceStatus": ["iris-main"], "conditions": {"Ready": "True"}}
    return after


def wrong(change: Any) -> list[str]:
    found = state()
    change(found)
    return [what for what, _, _ in compare_state(recorded(), found, Templates())]


def test_the_same_state_has_no_differences() -> None:
    assert compare_state(recorded(), state(), Templates()) == []


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("after.virtual_service", lambda s: s["virtual_service"][0]["route"][0].pop("weight")),
        ("after.services", lambda s: s["services"].clear()),
        ("after.deployments", lambda s: s["deployments"].update(more={})),
        (
            "after.deployments.main.generation",
            lambda s: s["deployments"]["main"].update(generation=2),
        ),
        (
            "after.deployments.main.deleting",
            lambda s: s["deployments"]["main"].update(deleting=True),
        ),
        ("after.status.state", lambda s: s["status"].update(state="Creating")),
        (
            "after.status.conditions.Ready",
            lambda s: s["status"]["conditions"][0].update(status="False"),
        ),
        ("after.generation", lambda s: s.update(generation=2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_different_state_is_told_by_its_part(part: str, change: Any) -> None:
    if part == "after.deployments":
        extra = copy.deepcopy(state()["deployments"]["main"])
        assert wrong(lambda s: s["deployments"].update(more=extra)) == [part]
    else:
        assert wrong(change) == [part]


def test_templates_must_be_equal_where_the_recorded_ones_are_and_only_there() -> None:
    templates = Templates()
    learn_templates(recorded(), state(), templates)
    assert templates.agree("theirs", "ours")
    assert not templates.agree("theirs", "other")
    assert not templates.agree("another", "ours")
    assert templates.agree("another", "other")


def test_an_answer_is_compared_word_by_word_but_for_addresses() -> None:
    step = {"http_status": 500, "error": 'Post "https://localhost:54443/x": refused'}
    same = {"http_status": 500, "error": 'Post "https://127.0.0.1:1234/x": refused'}
    assert list(compare_answer(step, same)) == []
    assert [what for what, _, _ in compare_answer(step, {**same, "error": "no"})] == ["error"]


def test_events_must_occur_but_may_occur_more_often() -> None:
    event = {"type": "Normal", "reason": "CreateService", "message": "Created x", "count": 9}
    told = {"rows": [["Normal", "CreateService", "Created x", 1]]}
    assert list(compare_events(told, [event])) == []
    assert list(compare_events(told, []))
    assert list(compare_events({"counts": {"Normal CreateService": 1}}, []))
    assert not list(compare_events({"counts": {"Warning UpdateFailed": 1}}, []))


def test_a_step_takes_over_what_it_says_is_the_same(tmp_path: Path) -> None:
    first = {"do": {}, "after": {"services": [1], "generation": 1}}
    second = {"do": {}, "after": {"generation": 2, "same_as_previous": ["services"]}}
    file = tmp_path / "op-1.json"
    file.write_text(json.dumps({"steps": [first, second]}))
    after = read(file).steps[1]["after"]
    assert (after["services"], after["generation"]) == ([1], 2)


def test_a_folder_without_recordings_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--recordings"):
        load(tmp_path)


def test_a_known_difference_is_bound_to_its_place_and_has_a_reason() -> None:
    known = [Known("op-1*", 2, "after.status.*", "because")]
    assert reason_for(Difference("op-15", 2, "after.status.state", "", ""), known) == "because"
    assert reason_for(Difference("op-15", 3, "after.status.state", "", ""), known) == ""
    assert all(len(entry.reason) > 40 for entry in known_differences())
