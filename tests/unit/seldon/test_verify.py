from __future__ import annotations

from seldon_objects import health, predictor, sdep, world

from sluice.seldon.verify import freeze_of, observed, unverified_reason, verified

LIVE = sdep(predictor("main", traffic=80, replicas=3), predictor("v2", traffic=20))


def test_equal_shares_are_verified_and_zeros_do_not_matter() -> None:
    seen = world(LIVE, health("main"), health("v2"), routes={"main": 100, "v2": 0})
    assert observed(seen) == {"main": 100}
    assert verified(seen, {"main": 100})
    assert verified(seen, {"main": 100, "v2": 0})


def test_trap_9_a_failed_state_for_a_moment_is_no_verdict() -> None:
    seen = world(LIVE, health("main"), health("v2"), routes={"main": 80, "v2": 20}, state="Failed")
    assert verified(seen, {"main": 80, "v2": 20})


def test_an_available_state_with_old_routes_is_not_believed() -> None:
    seen = world(
        LIVE, health("main"), health("v2"), routes={"main": 80, "v2": 20}, state="Available"
    )
    assert not verified(seen, {"main": 100})
    assert "has main 80%, v2 20%, wanted is main 100%" in unverified_reason(seen, {"main": 100})


def test_rules_that_differ_are_not_verified() -> None:
    seen = world(LIVE, routes={"main": 80, "v2": 20}, routes_agree=False)
    assert observed(seen) is None
    assert "REST and the gRPC rule" in unverified_reason(seen, {"main": 80, "v2": 20})


def test_routes_that_cannot_be_read_say_why() -> None:
    seen = world(LIVE, routes=None, routes_problem="forbidden")
    assert unverified_reason(seen, {"main": 100}) == (
        "the VirtualService cannot be read: forbidden"
    )


def test_nothing_unready_is_no_freeze() -> None:
    assert freeze_of(world(LIVE, health("main", 3), health("v2"))) is None


def test_trap_1_an_unready_candidate_is_named_and_goes_in_one_patch() -> None:
    seen = world(LIVE, health("main", 3), health("v2", 0, 1, problem="CrashLoopBackOff: x"))
    found = freeze_of(seen)
    assert found is not None
    deployment, sentence = found
    assert deployment.name == "iris-v2-0-model"
    assert "no ready pod of 1: CrashLoopBackOff: x" in sentence
    assert "one patch, which Seldon applies at once" in sentence


def test_trap_1_an_unready_stable_pod_is_named_with_its_way_out() -> None:
    found = freeze_of(world(LIVE, health("main", 2, 3), health("v2")))
    assert found is not None
    assert "1 of 3 pods unavailable" in found[1]
    assert "patches the VirtualService" in found[1]


def test_trap_1_without_rights_the_way_out_is_fewer_replicas() -> None:
    found = freeze_of(world(LIVE, health("main", 2, 3), health("v2"), can_patch_routes=False))
    assert found is not None
    assert "lowers its replicas" in found[1]


def test_trap_1_a_stable_without_any_ready_pod_is_a_persons_decision() -> None:
    found = freeze_of(world(LIVE, health("main", 0, 3), health("v2")))
    assert found is not None
    assert "a person's decision" in found[1]


def test_trap_1_zero_replicas_freeze_too() -> None:
    zero = freeze_of(world(LIVE, health("main", 3), health("v2", 0, 0)))
    assert zero is not None
    assert "set to 0 replicas" in zero[1]


def test_trap_6_a_rolling_update_freezes_and_is_told_from_a_broken_pod() -> None:
    rolling = freeze_of(world(LIVE, health("main", 3, 3, unavailable=1, updated=1), health("v2")))
    assert rolling is not None
    assert "1 of 3 pods are new" in rolling[1]
    pending = freeze_of(world(LIVE, health("main", 3, current=False), health("v2")))
    assert pending is not None
    assert "not carried out yet" in pending[1]


def test_trap_8_an_unready_shadow_freezes_and_is_the_users() -> None:
    live = sdep(predictor("main"), predictor("s", shadow=True))
    found = freeze_of(world(live, health("main"), health("s", 0, 1)))
    assert found is not None
    assert "shadow of yours" in found[1]
