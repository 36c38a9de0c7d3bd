"""Sluice itself is upgraded in mid-rollout, and at the end removed: models go on being served."""

from __future__ import annotations

import time
from collections.abc import Callable

from ground import SYSTEM, VALUES, Ground, Journey
from trial import poll

Start = Callable[[str], Journey]
RATE = 15.0
HELD = {"steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "30s"}]}


def pods(ground: Ground) -> set[str]:
    where = ("--namespace", SYSTEM, "--selector=app.kubernetes.io/name=sluice")
    return set(ground.kubectl("get", "pods", *where, "--output=name").split())


def test_an_upgrade_in_mid_rollout_loses_nothing(start: Start, cluster: Ground) -> None:
    rollout = start("upgrade")
    rollout.create(rate=RATE)
    rollout.change("better", canary=HELD)
    before = rollout.until_judged()
    old, began = pods(cluster), time.monotonic()
    cluster.install(extraArgs=[*VALUES["extraArgs"], "--status-interval=2"])
    poll(lambda: not (pods(cluster) & old), "all pods are new")
    cluster.figures["helm upgrade, until all pods are new"] = time.monotonic() - began
    after = rollout.status()
    assert after.candidate == before.candidate
    status = rollout.until_ended("Promoted")
    assert len(status.history) == 1
    assert rollout.count() == []


def test_without_sluice_traffic_stays_as_it_was_and_with_it_again_the_rollout_goes_on(
    start: Start, cluster: Ground
) -> None:
    rollout = start("removed")
    rollout.create(rate=RATE)
    rollout.change("better", canary=HELD)
    candidate = rollout.until_judged().candidate
    assert candidate is not None
    poll(lambda: rollout.routes().get(candidate.predictor) == 50, "half of the traffic")
    cluster.ok("helm", "uninstall", "sluice", "--namespace", SYSTEM, "--wait")
    assert not pods(cluster)
    seen = len(rollout.answered())
    poll(lambda: len(rollout.answered()) > seen + 100, "requests go on")
    assert rollout.routes()[candidate.predictor] == 50
    assert rollout.predictors()[candidate.predictor] == 50
    crds = cluster.kubectl("get", "crds", "--output=name")
    assert "modelrollouts.sluice.dev" in crds
    cluster.install()
    rollout.until_ended("Promoted")
    assert rollout.count() == []
