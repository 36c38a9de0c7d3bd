"""promotedIn over the controller's own copy: what opens it, what it says, and what wakes it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sluice.api.status import Phase
from sluice.loops.elsewhere import shown_to_gates
from sluice.loops.stores import Index
from sluice.loops.watching import Watching
from sluice.resources import MODEL_ROLLOUTS
from sluice.testing.clock import ManualClock

from .small_loop import SmallLoop

GATES = {"promotedIn": [{"namespace": "stage", "name": "iris"}]}


def stage(loop: SmallLoop, image: str, **status: Any) -> None:
    """Another controller's rollout, as its status says."""
    body = {
        "apiVersion": MODEL_ROLLOUTS.api_version,
        "kind": MODEL_ROLLOUTS.kind,
        "metadata": {"name": "iris", "namespace": "stage"},
        "spec": {"template": {"spec": {"predictors": [{"graph": {"name": "m"}}]}}},
    }
    created = loop.client.create(MODEL_ROLLOUTS, body, "stage")
    created["status"] = {
        "phase": "Idle",
        "stable": {"revision": "cafe", "predictor": "vcafe", "images": [image]},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Serving"}],
        **status,
    }
    loop.client.replace(MODEL_ROLLOUTS, created, subresource="status")


def waiting(loop: SmallLoop) -> str:
    loop.apply("repo/iris:1")
    loop.settle()
    loop.tick(2)
    loop.apply("repo/iris:2", gates=GATES)
    loop.settle()
    return loop.status.message


def test_the_other_rollout_serving_the_same_images_opens_it() -> None:
    loop = SmallLoop()
    assert "there is no ModelRollout iris in namespace stage" in waiting(loop)
    assert loop.status.phase is Phase.IDLE
    loop.pulse.beat()
    assert loop.metrics.registry.get_sample_value("sluice_gated_rollouts") == 1
    stage(loop, "repo/iris:2")
    loop.settle()
    assert loop.status.candidate is not None
    loop.pulse.beat()
    assert loop.metrics.registry.get_sample_value("sluice_gated_rollouts") == 0


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "RolledBack"},
        {"phase": "Baking"},
        {"conditions": [{"type": "Ready", "status": "False", "reason": "StableNotReady"}]},
        {"conditions": []},
    ],
)
def test_anything_less_keeps_it_closed(status: dict[str, Any]) -> None:
    loop = SmallLoop()
    stage(loop, "repo/iris:2", **status)
    assert "gate promotedIn stage/iris" in waiting(loop)
    assert loop.status.candidate is None


def test_another_that_waits_for_a_gate_of_its_own_still_serves() -> None:
    loop = SmallLoop()
    ready = {"type": "Ready", "status": "False", "reason": "WaitingForGate"}
    stage(loop, "repo/iris:2", conditions=[ready])
    waiting(loop)
    assert loop.status.candidate is not None


def test_a_controller_of_one_namespace_says_that_it_cannot_see_the_other() -> None:
    loop = SmallLoop(watched=("prod",))
    stage(loop, "repo/iris:2")
    assert "watches namespace prod alone" in waiting(loop)


# -- what wakes a rollout that waits --------------------------------------------------------------


def waiter(name: str, **gates: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "prod", "name": name, "generation": 1}, "spec": gates}


def test_the_index_knows_who_waits_for_whom() -> None:
    index = Index()
    index.put(waiter("a", gates=GATES))
    index.put(waiter("b", gates={"promotedIn": [{"name": "a"}]}))
    assert index.of_gate("stage/iris") == {"prod/a"}
    assert index.of_gate("prod/a") == {"prod/b"}
    index.put(waiter("a"))
    index.remove("prod/b")
    assert index.of_gate("stage/iris") == index.of_gate("prod/a") == set()


def test_only_what_a_gate_looks_at_wakes_those_that_wait() -> None:
    woken: list[str] = []
    loop = SmallLoop()
    watching = Watching(
        loop.client,
        clock=ManualClock(),
        rng=random.Random(1),
        wake=woken.append,
    )
    watching.index.put(waiter("a", gates=GATES))
    stage(loop, "repo/iris:1", phase="Baking")
    old = loop.client.get(MODEL_ROLLOUTS, "iris", "stage")
    numbers = {**old, "status": {**old["status"], "message": "other numbers"}}
    watching._rollout("MODIFIED", numbers, old)
    assert woken == []
    promoted = {**old, "status": {**old["status"], "phase": "Idle"}}
    watching._rollout("MODIFIED", promoted, numbers)
    assert woken == ["prod/a"]
    assert shown_to_gates(promoted) != shown_to_gates(old)
    watching._rollout("DELETED", None, promoted)
    assert woken.count("prod/a") == 2
