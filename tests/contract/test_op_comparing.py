"""When the operator writes an object again: by its own wish, and against a hand that changed it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from contract_objects import predictor, seldon_deployment

from sluice.sandbox.operator import comparing
from sluice.sandbox.operator.desired import desired
from sluice.sandbox.operator.settings import Settings

Json = dict[str, Any]
WANTED = desired(seldon_deployment(predictor("main", 100)), Settings())
DEPLOYMENT = WANTED.deployments[0]


def stored() -> Json:
    """The Deployment as an API server and its controller would hold it."""
    live = copy.deepcopy(comparing.stamped(DEPLOYMENT))
    live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    live["spec"]["template"]["metadata"]["creationTimestamp"] = None
    return live


def test_what_was_written_is_left_alone() -> None:
    assert not comparing.deployment_differs(stored(), DEPLOYMENT, scaled=False)


def set_path(obj: Json, path: str, value: Any) -> None:
    *way, last = path.split("/")
    here: Any = obj
    for step in way:
        here = here[int(step)] if step.isdigit() else here[step]
    here[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec/replicas", 3),
        ("spec/template/spec/containers/0/image", "repo/hand:1"),
        ("spec/paused", True),
        ("spec/minReadySeconds", 1),
        ("spec/strategy", {"type": "Recreate"}),
        ("metadata/annotations/x", "1"),
        ("metadata/labels/x", "1"),
        ("metadata/ownerReferences", []),
    ],
)
def test_a_deployment_changed_by_hand_is_written_again(path: str, value: Any) -> None:
    live = stored()
    set_path(live, path, value)
    assert comparing.deployment_differs(live, DEPLOYMENT, scaled=False)


def test_replicas_under_an_hpa_are_left_alone() -> None:
    live = stored()
    live["spec"]["replicas"] = 4
    assert not comparing.deployment_differs(live, DEPLOYMENT, scaled=True)


def test_a_changed_wish_is_noticed_even_where_the_live_object_holds_it() -> None:
    wanted = copy.deepcopy(DEPLOYMENT)
    wanted["spec"]["template"]["spec"]["containers"][0]["resources"] = {}
    live = stored()
    live["metadata"]["annotations"]["seldon.io/last-applied"] = "another"
    assert comparing.deployment_differs(live, wanted, scaled=False)


def test_a_service_with_another_selector_differs() -> None:
    wanted = WANTED.services[-1]
    live = copy.deepcopy(wanted)
    live["spec"]["clusterIP"] = "10.96.0.7"
    assert not comparing.service_differs(live, wanted)
    live["spec"]["selector"] = {"seldon-app": "other"}
    assert comparing.service_differs(live, wanted)


def test_any_edit_of_the_virtual_service_differs() -> None:
    live = copy.deepcopy(WANTED.virtual_service)
    assert not comparing.spec_differs(live, WANTED.virtual_service)
    live["spec"]["http"][0]["route"][0]["weight"] = 1
    assert comparing.spec_differs(live, WANTED.virtual_service)
