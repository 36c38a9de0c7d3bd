"""From one namespace to the next: what was promoted in `stage` may come to `prod`, nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from ground import Ground, Journey

from sluice.api.status import Phase, RolloutStatus

RATE = 15.0


@pytest.fixture
def stage(cluster: Ground) -> Iterator[Journey]:
    """A rollout in a namespace of its own."""
    with contextlib.ExitStack() as ends:
        cluster.kubectl("create", "namespace", "stage")
        ends.callback(cluster.kubectl, "delete", "namespace", "stage")
        one = Journey(cluster, "iris", "stage")
        ends.callback(one.end)
        yield one


def test_prod_waits_until_the_image_was_promoted_in_stage(stage: Journey, cluster: Ground) -> None:
    with contextlib.ExitStack() as ends:
        prod = Journey(cluster, "gated")
        ends.callback(prod.end)
        stage.create(rate=0, wait=False)
        prod.create(rate=0, wait=False)
        for rollout in (stage, prod):
            rollout.until(lambda s: s.stable is not None and s.phase is Phase.IDLE, "it serves")
            rollout.until(_ready, "it is ready")
            rollout.start_load(RATE)
        gate = {"promotedIn": [{"namespace": "stage", "name": stage.name}]}
        prod.change("better", gates=gate)
        prod.until(_waiting, "prod waits for stage")
        assert prod.status().candidate is None
        stage.change("better")
        stage.until_ended("Promoted")
        prod.until_ended("Promoted")
        assert stage.count() == []
        assert prod.count() == []


def _ready(status: RolloutStatus) -> bool:
    ready = status.condition("Ready")
    return ready is not None and ready.status == "True"


def _waiting(status: RolloutStatus) -> bool:
    ready = status.condition("Ready")
    return ready is not None and ready.reason == "WaitingForGate"
