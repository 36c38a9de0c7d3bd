"""Sluice itself is upgraded in mid-rollout, and at the end removed: models go on being served."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ground import SYSTEM, VALUES, Ground, Held
from trial import poll

RATE = 15.0


@pytest.fixture(scope="module")
def held(cluster: Ground) -> Iterator[Held]:
    rollouts = Held(cluster, {"upgrade": 1, "removed": 1}, RATE)
    try:
        rollouts.begin()
        yield rollouts
    finally:
        rollouts.end()


def pods(ground: Ground) -> set[str]:
    where = ("--namespace", SYSTEM, "--selector=app.kubernetes.io/name=sluice")
    return set(ground.kubectl("get", "pods", *where, "--output=name").split())


def test_an_upgrade_in_mid_rollout_loses_nothing(held: Held, cluster: Ground) -> None:
    rollout = held.rollouts["upgrade"]
    before = rollout.status()
    old, began = pods(cluster), time.monotonic()
    cluster.install(extraArgs=[*VALUES["extraArgs"], "--status-interval=2"])
    poll(lambda: not (pods(cluster) & old), "all pods are new")
    cluster.figures["helm upgrade, until all pods are new"] = time.monotonic() - began
    after = rollout.status()
    assert after.candidate == before.candidate
    held.promoted("upgrade")


def test_without_sluice_traffic_stays_as_it_was_and_with_it_again_the_rollout_goes_on(
    held: Held, cluster: Ground
) -> None:
    rollout = held.rollouts["removed"]
    candidate = rollout.status().candidate
    assert candidate is not None
    cluster.ok("helm", "uninstall", "sluice", "--namespace", SYSTEM, "--wait")
    poll(lambda: not pods(cluster), "no pod of it is left")
    seen = len(rollout.answered())
    poll(lambda: len(rollout.answered()) > seen + 100, "requests go on")
    assert rollout.routes()[candidate.predictor] == 50
    assert rollout.predictors()[candidate.predictor] == 50
    crds = cluster.kubectl("get", "crds", "--output=name")
    assert "modelrollouts.sluice.dev" in crds
    cluster.install()
    held.promoted("removed")
