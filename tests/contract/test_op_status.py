"""The status the operator reports: what it says, what it leaves standing, what it never says."""

from __future__ import annotations

from typing import Any

from contract_objects import predictor, ready, seldon_deployment, unready

from sluice.sandbox.operator.desired import Desired, desired
from sluice.sandbox.operator.settings import Settings
from sluice.sandbox.operator.status import Findings, deployment_ready, status_of

Json = dict[str, Any]
MAIN, CANARY = "iris-main-0-model", "iris-canary-0-model"
NOW = "2026-01-02T03:04:05Z"
LATER = "2026-01-02T03:04:06Z"
BOTH = desired(seldon_deployment(predictor("main", 90), predictor("canary", 10)), Settings())
MAIN_ONLY = desired(seldon_deployment(predictor("main", 100)), Settings())


def live(**statuses: Json) -> dict[str, Json]:
    names = {"main": MAIN, "canary": CANARY}
    return {names[key]: {"status": status} for key, status in statuses.items()}


def report(
    statuses: dict[str, Json], *, wanted: Desired = BOTH, old: Json | None = None, **found: Any
) -> Json:
    found.setdefault("ready", all(deployment_ready(each) for each in statuses.values()))
    findings = Findings(live_deployments=statuses, **found)
    return status_of(old or {}, wanted, findings, NOW)


def not_true(status: Json) -> dict[str, str]:
    return {
        each["type"]: each["reason"] for each in status["conditions"] if each["status"] != "True"
    }


def test_one_unready_pod_of_three_or_no_pod_at_all_is_not_ready() -> None:
    assert deployment_ready({"status": ready(3)})
    assert not deployment_ready({"status": unready(1, of=3)})
    assert not deployment_ready({"status": {}})
    # 0 of 0, which its own controller calls available.
    assert not deployment_ready({"status": {"conditions": ready()["conditions"]}})


def test_the_status_of_an_older_generation_counts_as_ready() -> None:
    assert deployment_ready({"metadata": {"generation": 2}, "status": ready(generation=1)})


def test_a_new_object_has_no_word_about_deployments_and_routes_yet() -> None:
    status = report(live(main={}, canary={}))
    assert status["state"] == "Creating"
    assert "deploymentStatus" not in status
    assert "observedGeneration" not in status
    kinds = {each["type"] for each in status["conditions"]}
    assert kinds == {"HpasReady", "KedaReady", "PdbsReady", "Ready", "ServicesReady"}
    assert not_true(status) == dict.fromkeys(("Ready", "ServicesReady"), "Not all services created")


def test_everything_ready_is_available() -> None:
    status = report(live(main=ready(), canary=ready()))
    assert status["state"] == "Available"
    assert not_true(status) == {}
    assert status["deploymentStatus"][MAIN] == {"availableReplicas": 1, "replicas": 1}


def test_a_shift_turns_ready_false_for_one_pass_while_the_state_stays_available() -> None:
    status = report(live(main=ready(), canary=ready()), routes_written=True)
    assert status["state"] == "Available"
    assert set(not_true(status)) == {"Ready", "istioVirtualServicesReady"}
    assert not_true(report(live(main=ready(), canary=ready()), old=status)) == {}


def test_an_unready_deployment_is_named_by_its_own_reason() -> None:
    status = report(live(main=ready(), canary=unready()))
    assert status["state"] == "Creating"
    assert not_true(status)["Ready"] == "MinimumReplicasUnavailable"
    assert not_true(status)["ServicesReady"] == "Not all services created"


def test_available_although_a_pod_is_missing_still_freezes() -> None:
    one_missing = {**ready(3), "readyReplicas": 2, "unavailableReplicas": 1}
    status = report(live(main=one_missing, canary=ready()))
    assert "DeploymentsReady" not in not_true(status)
    assert status["state"] == "Creating"


def test_failed_needs_both_not_available_and_not_progressing() -> None:
    stuck = unready(progressing=False)
    assert report(live(main=ready(), canary=stuck))["state"] == "Failed"
    stuck["conditions"][0]["status"] = "True"
    assert report(live(main=ready(), canary=stuck))["state"] == "Creating"


def test_an_added_predictor_leaves_the_old_words_about_deployments_standing() -> None:
    before = report(live(main=ready()), wanted=MAIN_ONLY)
    status = report(live(main=ready(), canary={}), old=before, ready=False)
    assert status["state"] == "Creating"
    assert "DeploymentsReady" not in not_true(status)
    assert set(status["deploymentStatus"]) == {MAIN}


def test_entries_of_a_removed_predictor_stay_until_its_objects_are_gone() -> None:
    before = report(live(main=ready(), canary=ready()))
    frozen = report(live(main=unready()), wanted=MAIN_ONLY, old=before)
    assert set(frozen["deploymentStatus"]) == {MAIN, CANARY}
    assert "iris-canary" in frozen["serviceStatus"]
    gone = report(
        live(main=ready()),
        wanted=MAIN_ONLY,
        old=frozen,
        gone_deployments=[CANARY],
        gone_services=["iris-canary", "iris-canary-model"],
    )
    assert set(gone["deploymentStatus"]) == {MAIN}
    assert set(gone["serviceStatus"]) == {"iris-main", "iris-main-model"}


def test_after_a_promotion_replicas_still_tells_the_old_predictor() -> None:
    before = report(live(main=ready(4), canary=ready(1)))
    survivor = desired(seldon_deployment(predictor("canary", 100)), Settings())
    status = report(live(canary=ready(1)), wanted=survivor, old=before)
    assert status["replicas"] == 4
    assert report(live(canary=ready(2)), wanted=survivor, old=status)["replicas"] == 2


def test_the_time_of_a_condition_changes_only_with_the_condition() -> None:
    before = report(live(main=ready(), canary=ready()))
    findings = Findings(live_deployments=live(main=ready(), canary=unready()))
    after = status_of(before, BOTH, findings, LATER)
    times = {each["type"]: each["lastTransitionTime"] for each in after["conditions"]}
    assert times["Ready"] == LATER
    assert times["KedaReady"] == NOW


def test_an_error_is_a_state_with_a_sentence_and_passes() -> None:
    before = report(live(main=ready(), canary=ready()))
    failed = report(live(main=ready(), canary=ready()), old=before, failure="no such thing")
    assert (failed["state"], failed["description"]) == ("Failed", "no such thing")
    again = report(live(main=ready(), canary=ready()), old=failed)
    assert again["state"] == "Available"
    assert "description" not in again
