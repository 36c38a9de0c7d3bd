"""A bad candidate while Seldon does not write routes, because a pod of the stable is unready."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from trial import Trial, poll, serves

from sluice.api.status import Phase, RolloutStatus
from sluice.errors import SandboxError
from sluice.sandbox import objects
from sluice.sandbox.up import Sandbox

Start = Callable[[str], Trial]
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/sluice-controller-routes"
# Errors come soon at half of the traffic, once there is a load; the hold keeps it there.
CANARY = {"steps": [{"weight": 50, "hold": "10m"}]}


def freeze_then_harm(rollout: Trial) -> tuple[str, str, str, str]:
    """Faulty candidate at its step, one of two stable pods unready before the first request.

    Returns the predictors of stable and candidate, and the names of the unready pod and of the
    Deployment that the controller says is unready.
    """
    rollout.create(replicas=2, rate=0)
    rollout.watch_routes()
    stable = rollout.status().stable
    assert stable is not None
    rollout.change("faulty", replicas=2, canary=CANARY)
    candidate = rollout.until_phase(Phase.STEPPING).candidate
    assert candidate is not None
    poll(lambda: rollout.routes().get(candidate.predictor) == 50, "the candidate has its share")
    pod = str(rollout.pods(stable.predictor)[0]["metadata"]["name"])
    rollout.cluster.node.hold_unready("prod", pod)
    freeze = rollout.until(lambda s: s.freeze is not None, "the freeze is seen").freeze
    assert freeze is not None
    rollout.start_load()
    return stable.predictor, candidate.predictor, pod, freeze.deployment


def test_traffic_leaves_a_bad_candidate_at_once_while_seldon_is_frozen(start: Start) -> None:
    rollout = start("frozen")
    stable, candidate, pod, frozen = freeze_then_harm(rollout)
    poll(lambda: rollout.routes() == {stable: 100}, "the gateway has the stable alone")
    [blocked] = [d for d in rollout.deployments() if d["metadata"]["name"] == frozen]
    assert blocked["status"]["unavailableReplicas"] == 1, "Seldon is still frozen"
    assert rollout.predictors() == {stable: 100}, "the spec says the same: it survives the thaw"

    rollout.cluster.node.hold_unready("prod", pod, held=False)
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "HarmDetected"
    settled(rollout, stable, candidate)
    assert rollout.failures(besides=candidate) == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate) == [0, 50, 0], "it never comes back"


@pytest.fixture
def may_not_patch_routes(cluster: Sandbox) -> Iterator[None]:
    """A controller whose role lets it read VirtualServices, and no more."""
    yield from _with_verbs(cluster, {"get", "list", "watch"})


@pytest.fixture
def sees_no_routes(cluster: Sandbox) -> Iterator[None]:
    """A controller without the optional role: as if controller-routes.yaml were not applied."""
    yield from _with_verbs(cluster, set())


def _with_verbs(cluster: Sandbox, kept: set[str]) -> Iterator[None]:
    """The controller is restarted with no other verbs on routes, and again with all of them."""
    [rule] = cluster.client.request("GET", ROLE)["rules"]
    verbs = set(rule["verbs"])
    assert kept < verbs
    _grant(cluster, rule, kept, taken=verbs - kept)
    yield
    _grant(cluster, rule, verbs, taken=set())


def _grant(cluster: Sandbox, rule: dict[str, Any], verbs: set[str], *, taken: set[str]) -> None:
    cluster.stop_controller()
    body = {"rules": [{**rule, "verbs": sorted(verbs)}] if verbs else []}
    cluster.client.request("PATCH", ROLE, body, content_type="application/merge-patch+json")
    # The controller asks once what it may do: not before the API server knows of the change.
    for words, allowed in ((verbs, True), (taken, False)):
        asked = [{**rule, "verbs": sorted(words)}]
        objects.await_allowed(cluster.client, "sluice-controller", asked, allowed=allowed)
    cluster.start_controller()


@pytest.mark.usefixtures("may_not_patch_routes")
def test_without_the_right_to_patch_routes_the_stable_is_made_whole_by_asking_for_less(
    start: Start,
) -> None:
    rollout = start("humble")
    stable, candidate, pod, _ = freeze_then_harm(rollout)
    poll(lambda: rollout.routes() == {stable: 100}, "the gateway has the stable alone")
    with contextlib.suppress(SandboxError):  # the unready pod is the one that is given up
        rollout.cluster.node.hold_unready("prod", pod, held=False)
    rollout.until_ended("RolledBack")
    poll(lambda: len(rollout.pods(stable)) == 2, "the stable has its replicas again")
    settled(rollout, stable, candidate)
    assert rollout.failures(besides=candidate) == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate) == [0, 50, 0]


@pytest.mark.usefixtures("sees_no_routes")
def test_without_any_right_on_routes_shifts_are_verified_by_the_requests_counted(
    start: Start,
) -> None:
    rollout = start("blind")
    rollout.create()
    rollout.change("faulty")
    bad = rollout.until_candidate()
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "HarmDetected"
    poll(lambda: not rollout.pods(bad.predictor), "the candidate's pods are gone")
    rollout.change("better")
    status = rollout.until_phase(Phase.BAKING)
    assert traffic_verified(status) == ("True", "RequestsCounted"), "said by what was counted"
    status = rollout.until(lambda s: len(s.history) == 2 and not s.phase.active, "both have ended")
    assert status.history[0].outcome == "Promoted"
    rollout.until(
        lambda s: traffic_verified(s) == ("Unknown", "NotReadable"),
        "nobody claims to see what may not be read and is no longer counted",
    )
    assert rollout.failures(besides=bad.predictor) == []


def traffic_verified(status: RolloutStatus) -> tuple[str, str] | None:
    """Status and reason of the condition."""
    condition = status.condition("TrafficVerified")
    return (condition.status, condition.reason) if condition else None


def settled(rollout: Trial, stable: str, candidate: str) -> None:
    """The candidate is gone from everywhere, the stable is whole."""

    def whole(status: RolloutStatus) -> bool:
        return status.phase is Phase.ROLLED_BACK and status.freeze is None and not serves(status)

    rollout.until(whole, "rolled back, without a freeze")
    poll(lambda: not rollout.pods(candidate), "the candidate's pods are gone")
    poll(
        lambda: all(not d["status"].get("unavailableReplicas") for d in rollout.deployments()),
        "every Deployment is whole",
    )
    assert rollout.predictors() == {stable: 100}
    assert rollout.routes() == {stable: 100}
