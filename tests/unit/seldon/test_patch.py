from __future__ import annotations

import copy

import pytest
from seldon_objects import patched, predictor, sdep

from sluice.engine.plan import Plan, PlannedPredictor
from sluice.errors import PatchTestFailedError, SpecError
from sluice.seldon.patch import json_patch
from sluice.seldon.revision import rendered

P = PlannedPredictor
METRICS = [{"name": "metrics", "containerPort": 6000, "protocol": "TCP"}]


def plan(*predictors: PlannedPredictor) -> Plan:
    return Plan(tuple(predictors))


def names_and_weights(obj: dict) -> list[tuple[str, int | None]]:
    return [(p["name"], p.get("traffic")) for p in obj["spec"]["predictors"]]


def split(stable: int = 80) -> dict:
    return sdep(
        predictor("main", traffic=stable, replicas=3),
        predictor("v2", "repo/m:2", traffic=100 - stable),
    )


def test_a_plan_that_is_met_writes_nothing() -> None:
    assert json_patch(split(), plan(P("main", 80), P("v2", 20))) == []


@pytest.mark.parametrize("traffic", [{}, {"traffic": 0}, {"traffic": 100}])
def test_a_single_predictor_has_everything_whatever_it_says(traffic: dict) -> None:
    assert json_patch(sdep(predictor(**traffic)), plan(P("main", 100))) == []


def test_trap_2_the_candidate_is_appended_last_and_the_stable_gets_its_share_in_words() -> None:
    live = sdep(predictor("main"))
    new = rendered({"spec": {"predictors": [predictor()]}}, name="v2", replicas=1)
    after = patched(live, json_patch(live, plan(P("main", 100), P("v2", 0, template=new))))
    assert names_and_weights(after) == [("main", 100), ("v2", 0)]
    assert after["spec"]["predictors"][1]["componentSpecs"] == new["componentSpecs"]


def test_trap_1_removal_and_full_share_go_in_one_patch() -> None:
    live = split()
    after = patched(live, json_patch(live, plan(P("main", 100))))
    assert names_and_weights(after) == [("main", 100)]


def test_promotion_takes_the_first_predictor_out() -> None:
    live = split(0)
    after = patched(live, json_patch(live, plan(P("v2", 100))))
    assert names_and_weights(after) == [("v2", 100)]


def test_superseding_swaps_candidates_in_one_patch() -> None:
    live = sdep(predictor("a", traffic=50), predictor("b", traffic=30), predictor("c", traffic=20))
    new = predictor("d", "repo/m:4")
    wish = plan(P("b", 100), P("d", 0, template=new))
    assert names_and_weights(patched(live, json_patch(live, wish))) == [("b", 100), ("d", 0)]


def test_nothing_else_of_the_live_object_is_touched() -> None:
    live = split()
    live["spec"]["predictors"][0]["explainer"] = {"type": "anchor"}
    live["spec"]["annotations"] = {"a": "b"}
    after = patched(live, json_patch(live, plan(P("main", 50, replicas=5), P("v2", 50))))
    wanted = copy.deepcopy(live)
    wanted["spec"]["predictors"][0] |= {"traffic": 50, "replicas": 5}
    wanted["spec"]["predictors"][1]["traffic"] = 50
    assert after == wanted


def test_trap_8_shadows_of_the_user_are_left_alone() -> None:
    live = split()
    shadow = predictor("mirror", shadow=True, traffic=100)
    live["spec"]["predictors"].insert(1, shadow)
    after = patched(live, json_patch(live, plan(P("main", 100))))
    mirror = after["spec"]["predictors"][1]
    assert (mirror["name"], mirror["traffic"], mirror["shadow"]) == ("mirror", 100, True)
    assert names_and_weights(after)[0] == ("main", 100)


def test_trap_2_survivors_keep_the_metrics_ports_seldon_gave_them() -> None:
    live = sdep(
        predictor("old", traffic=0), predictor("kept", traffic=100), predictor("s", shadow=True)
    )
    after = patched(live, json_patch(live, plan(P("kept", 100))))
    ports = [
        p["componentSpecs"][0]["spec"]["containers"][0]["ports"][0]["containerPort"]
        for p in after["spec"]["predictors"]
    ]
    assert ports == [6001, 6002]


def test_explicit_metrics_ports_need_no_pin() -> None:
    live = split(0)
    for one in live["spec"]["predictors"]:
        one["componentSpecs"][0]["spec"]["containers"][0]["ports"] = METRICS
    after = patched(live, json_patch(live, plan(P("v2", 100))))
    containers = after["spec"]["predictors"][0]["componentSpecs"][0]["spec"]["containers"]
    assert containers[0]["ports"] == METRICS


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o["metadata"].update(generation=2),
        lambda o: o["metadata"].update(uid="another"),
        lambda o: o["spec"]["predictors"].reverse(),
        lambda o: o["spec"]["predictors"].pop(),
    ],
)
def test_a_patch_from_an_older_look_is_refused(change: object) -> None:
    live = split()
    ops = json_patch(live, plan(P("main", 100)))
    change(live)  # type: ignore[operator]
    with pytest.raises(PatchTestFailedError):
        patched(live, ops)


def test_a_change_of_status_does_not_stop_a_rollback() -> None:
    live = split()
    ops = json_patch(live, plan(P("main", 100)))
    live["metadata"]["resourceVersion"] = "8"
    assert names_and_weights(patched(live, ops)) == [("main", 100)]


def test_the_resource_version_stands_in_for_a_missing_generation() -> None:
    live = split()
    del live["metadata"]["generation"]
    ops = json_patch(live, plan(P("main", 100)))
    assert {"op": "test", "path": "/metadata/resourceVersion", "value": "7"} in ops


def test_the_order_of_live_predictors_is_kept() -> None:
    assert json_patch(split(), plan(P("v2", 20), P("main", 80))) == []


def test_a_predictor_somebody_took_out_is_said_so() -> None:
    with pytest.raises(SpecError, match="must have a predictor 'main', found v2"):
        json_patch(sdep(predictor("v2")), plan(P("main", 100)))


def test_an_unready_predictor_with_a_template_keeps_what_is_live() -> None:
    live = split()
    live["spec"]["predictors"][1]["replicas"] = 4
    wish = plan(P("main", 80), P("v2", 20, template=predictor("v2", "repo/other")))
    assert json_patch(live, wish) == []


def test_trap_3_every_share_is_written_in_words_zero_included() -> None:
    live = sdep(predictor("main"), predictor("v2", traffic=100))
    after = patched(live, json_patch(live, plan(P("main", 20), P("v2", 80))))
    assert names_and_weights(after) == [("main", 20), ("v2", 80)]
    new = plan(P("main", 100), P("v2", 0), P("v3", 0, template=predictor("v3")))
    assert names_and_weights(patched(live, json_patch(live, new)))[1:] == [("v2", 0), ("v3", 0)]


def test_trap_4_a_predictor_that_drains_stays_at_zero_until_a_plan_leaves_it_out() -> None:
    live = split(50)
    drained = patched(live, json_patch(live, plan(P("main", 100), P("v2", 0))))
    assert names_and_weights(drained) == [("main", 100), ("v2", 0)]
    assert json_patch(drained, plan(P("main", 100), P("v2", 0))) == []
    gone = patched(drained, json_patch(drained, plan(P("main", 100))))
    assert names_and_weights(gone) == [("main", 100)]


def shadowed(**fields: object) -> dict:
    return sdep(predictor("main", traffic=100), predictor("v2", shadow=True, traffic=50, **fields))


def test_trap_8_a_shadow_is_added_with_its_percent_and_the_stable_in_words() -> None:
    live = sdep(predictor("main"))
    wish = plan(P("main", 100), P("v2", 0, template=predictor("v2"), shadow=50))
    after = patched(live, json_patch(live, wish))
    assert names_and_weights(after) == [("main", 100), ("v2", 50)]
    assert [p.get("shadow") for p in after["spec"]["predictors"]] == [None, True]
    assert json_patch(after, wish) == []


def test_a_shadow_becomes_an_ordinary_predictor_at_zero_in_one_patch() -> None:
    live = shadowed()
    wish = plan(P("main", 100), P("v2", 0))
    after = patched(live, json_patch(live, wish))
    assert names_and_weights(after) == [("main", 100), ("v2", 0)]
    assert "shadow" not in after["spec"]["predictors"][1]
    assert json_patch(after, wish) == []


def test_an_ordinary_predictor_at_zero_becomes_a_shadow() -> None:
    live = split(100)
    after = patched(live, json_patch(live, plan(P("main", 100), P("v2", 0, shadow=100))))
    assert after["spec"]["predictors"][1]["shadow"] is True
    assert names_and_weights(after) == [("main", 100), ("v2", 100)]


def test_another_percent_changes_nothing_else() -> None:
    live = shadowed(replicas=3)
    after = patched(live, json_patch(live, plan(P("main", 100), P("v2", 0, shadow=80))))
    wanted = copy.deepcopy(live)
    wanted["spec"]["predictors"][1]["traffic"] = 80
    assert after == wanted


def test_a_shadow_never_gets_users_in_one_patch() -> None:
    with pytest.raises(SpecError, match="'v2' must not be a shadow"):
        json_patch(shadowed(), plan(P("main", 95), P("v2", 5)))


def test_only_the_shadow_that_is_named_is_taken_out() -> None:
    live = shadowed()
    assert json_patch(live, plan(P("main", 100))) == []
    gone = Plan((P("main", 100),), drop=("v2",))
    assert names_and_weights(patched(live, json_patch(live, gone))) == [("main", 100)]


def test_a_shadow_is_superseded_by_another_in_one_patch() -> None:
    live = shadowed()
    new = P("v3", 0, template=predictor("v3"), shadow=20)
    after = patched(live, json_patch(live, Plan((P("main", 100), new), drop=("v2",))))
    assert names_and_weights(after) == [("main", 100), ("v3", 20)]


@pytest.mark.parametrize(
    "predictors",
    [
        (P("main", 90), P("v2", 10, shadow=50)),
        (P("main", 100), P("v2", 0, shadow=50), P("v3", 0, shadow=50)),
    ],
)
def test_a_plan_has_one_shadow_at_most_and_no_traffic_for_it(
    predictors: tuple[PlannedPredictor, ...],
) -> None:
    with pytest.raises(ValueError, match="at most one shadow"):
        Plan(predictors)


def test_a_stable_that_was_alone_beside_a_shadow_gets_its_share_in_words_when_it_is_not() -> None:
    live = sdep(predictor("main"), predictor("v2", shadow=True, traffic=50))
    after = patched(live, json_patch(live, plan(P("main", 100), P("v2", 0))))
    assert names_and_weights(after) == [("main", 100), ("v2", 0)]
