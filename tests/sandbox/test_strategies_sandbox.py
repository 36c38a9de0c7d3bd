"""Blue-green and shadow on real parts: one switch, the way back, and copies that reach no user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trial import CANARY, NAMESPACE, Trial, poll, sluice

from sluice.api.status import Phase, RolloutStatus, Verdict
from sluice.resources import SELDON_DEPLOYMENTS, VIRTUAL_SERVICES
from sluice.seldon.routes import parse_mirrors

Start = Callable[[str], Trial]
# Blue is known well enough after some 700 requests, and then a fifth of failures is shown.
ERRORS = {
    "name": "errors",
    "metric": "error-rate",
    "compare": {"acceptableRatio": 1, "unacceptableRatio": 2, "negligibleBelow": 0.005},
}
COMMON = {key: CANARY[key] for key in ("warmup", "risk", "onUndecided")}
SHADOW = {"percent": 100, "hold": "2s"}


def blue_green(**fields: Any) -> dict[str, Any]:
    own = {"checks": [ERRORS, CANARY["checks"][1]], "bake": "3s"}
    return {"blueGreen": {**COMMON, **own, **fields}}


def shadowed_canary() -> dict[str, Any]:
    return {"canary": {**CANARY, "shadow": SHADOW}}


def mirrors(rollout: Trial) -> dict[str, int]:
    return parse_mirrors(rollout.client.get(VIRTUAL_SERVICES, rollout.name, NAMESPACE))


def hidden(rollout: Trial, predictor: str) -> bool:
    """Whether by its SeldonDeployment no user can be answered by this predictor."""
    found = rollout.client.get(SELDON_DEPLOYMENTS, rollout.name, NAMESPACE)["spec"]["predictors"]
    [one] = [p for p in found if p["name"] == predictor]
    return bool(one.get("shadow")) or not one.get("traffic")


def copies(status: RolloutStatus) -> bool:
    return status.phase is Phase.SHADOWING and bool(status.shadow and status.shadow.verified_at)


def test_green_gets_everything_at_once_and_no_request_fails(start: Start) -> None:
    rollout = start("green")
    strategy = blue_green()
    rollout.create(strategy=strategy)
    rollout.change("better", strategy=strategy)
    candidate = rollout.until_phase(Phase.PREVIEWING).candidate
    assert candidate is not None
    pods = rollout.pod_uids(candidate.predictor)
    status = rollout.until_ended("Promoted")
    assert status.history[0].reason in ("BakedWithoutHarm", "AllChecksPassed")
    assert rollout.predictors() == {candidate.predictor: 100}
    assert rollout.failures() == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0, 100]
    assert rollout.pod_uids(candidate.predictor) == pods, "a promotion restarts no pod"


def test_harm_in_the_bake_switches_back_to_blue_and_only_greens_requests_fail(start: Start) -> None:
    rollout = start("harmful")
    strategy = blue_green(bake="5m")
    rollout.create(strategy=strategy)
    stable = rollout.status().stable
    assert stable is not None
    blue = rollout.pod_uids(stable.predictor)
    rollout.change("faulty", strategy=strategy)
    candidate = rollout.until_phase(Phase.BAKING).candidate
    assert candidate is not None
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "HarmDetected"
    assert rollout.predictors() == {stable.predictor: 100}
    assert rollout.pod_uids(stable.predictor) == blue, "blue was warm"
    assert rollout.failures(besides=candidate.predictor) == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0, 100, 0]


def test_without_auto_switch_it_is_a_persons_promote_that_switches(start: Start) -> None:
    rollout = start("asked")
    strategy = blue_green(autoSwitch=False)
    rollout.create(strategy=strategy)
    rollout.change("better", strategy=strategy)
    status = rollout.until(
        lambda s: s.phase is Phase.PREVIEWING and s.message.endswith("all traffic to it"),
        "it waits for promote, and all is known",
    )
    candidate = status.candidate
    assert candidate is not None
    service = f"{rollout.name}-{candidate.predictor}.{NAMESPACE}.svc"
    assert status.preview == f"http://{service}:8000"
    before = len(rollout.answered())
    poll(lambda: len(rollout.answered()) > before + 80, "two seconds of load")
    assert rollout.answered(candidate.predictor) == []
    done = sluice(rollout.cluster, "promote", rollout.name)
    assert done.returncode == 0, done.stderr
    rollout.until_ended("Promoted")
    assert rollout.failures() == []


def test_a_good_shadow_becomes_a_canary_and_answers_no_user_before(start: Start) -> None:
    rollout = start("shadow")
    rollout.create(strategy=shadowed_canary(), rate=0)  # without requests the shadow stays
    rollout.watch_routes()
    rollout.change("better", strategy=shadowed_canary())
    candidate = rollout.until(copies, "the gateway copies requests").candidate
    assert candidate is not None
    assert mirrors(rollout) == {candidate.predictor: 100}
    as_shadow = rollout.pod_uids(candidate.predictor)
    rollout.start_load()

    def out_of_the_shadow() -> bool:
        answered = len(rollout.answered(candidate.predictor))
        if hidden(rollout, candidate.predictor):  # looked at after the answers: so it was then
            assert answered == 0, "a user was answered by a shadow"
            return False
        return True

    poll(out_of_the_shadow, "it becomes an ordinary predictor")
    judged = rollout.until_phase(Phase.STEPPING).checks
    assert min(c.candidate_samples for c in judged) > 0, "copies are evidence"
    assert rollout.pod_uids(candidate.predictor) - as_shadow, "its pods were made anew"
    status = rollout.until_ended("Promoted")
    assert {c.verdict for c in status.history[0].checks} == {Verdict.PASS}
    assert rollout.predictors() == {candidate.predictor: 100}
    assert rollout.failures() == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0, 20, 50, 95, 100]
    copied = [shares for split, shares in rollout.weights.routes() if candidate.predictor in split]
    assert not any(copied), "with a share of its own it gets no copies"


def test_a_faulty_shadow_is_taken_out_and_no_users_request_fails(start: Start) -> None:
    rollout = start("faulty")
    strategy = {"canary": {**CANARY, "shadow": SHADOW | {"hold": "1m"}}}
    rollout.create(strategy=strategy)
    stable = rollout.status().stable
    assert stable is not None
    rollout.change("faulty", strategy=strategy)
    candidate = rollout.until_phase(Phase.SHADOWING).candidate
    assert candidate is not None
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "HarmDetected"
    assert rollout.answered(candidate.predictor) == []
    assert rollout.failures() == []
    assert mirrors(rollout) == {}
    found = rollout.client.get(SELDON_DEPLOYMENTS, rollout.name, NAMESPACE)["spec"]["predictors"]
    assert [p["name"] for p in found] == [stable.predictor]
