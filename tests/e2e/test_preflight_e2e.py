"""A preflight from the controller's own pod: Services by their names, the chart's role."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from ground import Ground, Journey
from trial import NAMESPACE, serves

from sluice.api.preflight import PreflightState
from sluice.api.status import Phase, RolloutStatus

FLOWERS = [[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0], [6.1, 2.9, 4.7, 1.4]]
REQUESTS = "".join(
    json.dumps({"data": {"ndarray": [FLOWERS[n % 4]]}}) + "\n" for n in range(400)
)  # fmt: skip


def blocked(status: RolloutStatus) -> bool:
    return status.preflight is not None and status.preflight.state is PreflightState.BLOCKED


@pytest.fixture
def rollout(start: Callable[..., Journey], cluster: Ground) -> Journey:
    one = start("preflight")
    one.create(rate=0, wait=False)
    one.until(serves, "the stable serves")
    one.start_load(15.0)
    return one


def test_a_wrong_model_meets_no_user_once_the_requests_are_there(
    rollout: Journey, cluster: Ground
) -> None:
    asked = {"requests": {"configMap": {"name": "preflight"}}}
    rollout.change("shuffled", preflight=asked)
    waiting = rollout.until(blocked, "there is no ConfigMap")
    assert waiting.preflight is not None
    assert waiting.preflight.reason == "RequestsNotFound"
    assert waiting.phase is Phase.PREPARING
    file = cluster.root / "requests.jsonl"
    file.write_text(REQUESTS)
    where = ("--namespace", NAMESPACE)
    cluster.kubectl("create", "configmap", "preflight", f"--from-file={file}", *where)
    try:
        status = rollout.until_ended("RolledBack")
    finally:
        cluster.kubectl("delete", "configmap", "preflight", *where)
    entry = status.history[0]
    assert entry.reason == "PreflightFailed"
    assert entry.preflight is not None
    assert entry.preflight.rows == 400
    assert rollout.weights is not None
    assert rollout.weights.of(entry.predictor) == [0]
    assert rollout.answered(entry.predictor) == []
    assert rollout.count() == []
