from __future__ import annotations

import pytest
from seldon_objects import patched, virtual_service

from sluice.errors import PatchTestFailedError
from sluice.seldon.routes import parse_mirrors, parse_routes, route_patch


def test_a_missing_weight_is_zero_beside_others() -> None:
    assert parse_routes(virtual_service(main=100, v2=None)) == ({"main": 100, "v2": 0}, True)


def test_a_single_route_without_weight_has_everything() -> None:
    assert parse_routes(virtual_service(main=None)) == ({"main": 100}, True)


def test_rules_that_differ_do_not_agree() -> None:
    mixed = virtual_service(main=80, v2=20)
    mixed["spec"]["http"][1]["route"][0]["weight"] = 70
    assert parse_routes(mixed) == ({"main": 80, "v2": 20}, False)


def test_no_rules_are_no_shares() -> None:
    assert parse_routes({"spec": {}}) == (None, True)


def test_trap_1_both_rules_are_sent_to_the_stable() -> None:
    before = virtual_service(main=80, v2=20)
    after = patched(before, route_patch(before, "iris", {"main": 100}))
    assert after == virtual_service(main=100)


def test_a_candidate_that_stays_at_zero_loses_its_weight_only() -> None:
    before = virtual_service(main=80, v2=20)
    after = patched(before, route_patch(before, "iris", {"main": 100, "v2": 0}))
    assert after == virtual_service(main=100, v2=None)


def test_switching_back_gives_the_stable_a_weight_it_did_not_have() -> None:
    before = virtual_service(main=None, v2=100)
    after = patched(before, route_patch(before, "iris", {"main": 100}))
    assert after == virtual_service(main=100)


@pytest.mark.parametrize("weights", [{"main": 100}, {"main": 100, "v2": 0}])
def test_routes_that_are_right_are_left_alone(weights: dict[str, int]) -> None:
    assert route_patch(virtual_service(main=100), "iris", weights) == []


def test_the_operator_being_first_fails_the_patch_and_not_the_traffic() -> None:
    ops = route_patch(virtual_service(main=80, v2=20), "iris", {"main": 100})
    for newer in (virtual_service(main=100), virtual_service(v2=20, main=80)):
        with pytest.raises(PatchTestFailedError):
            patched(newer, ops)


def test_a_mirror_is_left_alone() -> None:
    before = virtual_service(main=80, v2=20)
    before["spec"]["http"][0]["mirror"] = {"host": "iris-shadow", "subset": "shadow"}
    after = patched(before, route_patch(before, "iris", {"main": 100}))
    assert after["spec"]["http"][0]["mirror"] == {"host": "iris-shadow", "subset": "shadow"}


def test_a_share_without_a_route_is_refused() -> None:
    with pytest.raises(ValueError, match="no route to v3, only to main, v2"):
        route_patch(virtual_service(main=80, v2=20), "iris", {"v3": 100})


def mirrored(*percents: int | None, subset: str = "v2") -> dict:
    """Rules that copy so many percent each; None: Seldon left the percentage out."""
    one = virtual_service(main=100)
    for rule, percent in zip(one["spec"]["http"], percents, strict=True):
        rule["mirror"] = {"host": f"iris-{subset}", "subset": subset}
        if percent is not None:
            rule["mirrorPercentage"] = {"value": percent}
    return one


def test_who_gets_copies_and_of_how_much() -> None:
    assert parse_mirrors(mirrored(20, 20)) == {"v2": 20}
    assert parse_routes(mirrored(20, 20)) == ({"main": 100}, True), "copies are no share"


def test_trap_8_a_mirror_without_a_percentage_copies_everything() -> None:
    assert parse_mirrors(mirrored(None, None)) == {"v2": 100}


def test_copies_in_one_of_the_rules_only_are_not_what_was_asked() -> None:
    half = mirrored(20, 20)
    del half["spec"]["http"][1]["mirror"]
    assert parse_mirrors(half) == {}
    assert parse_mirrors(mirrored(20, 30)) == {}
    assert parse_mirrors(virtual_service(main=100)) == {}
