"""Going back: without steps where the user allows it, and which templates are kept."""

from __future__ import annotations

import pytest

from sluice.api.status import HistoryEntry, Phase, RolloutStatus, Verdict
from sluice.engine.undo import returns_to_a_recent_stable

from .small_cluster import SmallCluster


def promoted(*templates: str, window: int = 0) -> SmallCluster:
    """One after the other became the stable."""
    cluster = SmallCluster(template=templates[0], rollback_revisions=window).started_with()
    for template in templates[1:]:
        cluster.promote_to(template)
    return cluster


def test_back_to_a_recent_stable_goes_without_steps_to_all_traffic_and_bakes() -> None:
    cluster = promoted("aaaa", "bbbb", window=1)
    cluster.template = "aaaa"
    seen = []
    for _ in range(4):
        cluster.run(1)
        seen.append(dict(cluster.routes or {}))
    assert [routes.get("vaaaa", 0) for routes in seen] == [0, 95, 95, 95]
    assert cluster.status.phase is Phase.BAKING
    cluster.run(40)
    assert cluster.predictors == {"vaaaa": 100}
    assert cluster.status.history[0].outcome == "Promoted"


def test_it_does_not_get_traffic_before_it_is_ready() -> None:
    cluster = promoted("aaaa", "bbbb", window=1)
    cluster.template = "aaaa"
    cluster.unready.add("vaaaa")
    cluster.run(10)
    assert cluster.status.phase is Phase.PREPARING
    assert cluster.routes == {"vbbbb": 100}


def test_harm_in_its_bake_switches_back() -> None:
    cluster = promoted("aaaa", "bbbb", window=1)
    cluster.template = "aaaa"
    cluster.run(4)
    cluster.say(Verdict.HARM)
    cluster.step()
    assert cluster.routes == {"vbbbb": 100, "vaaaa": 0}


def test_no_gate_holds_it() -> None:
    cluster = promoted("aaaa", "bbbb", window=1)
    cluster.gates = {
        "promotedIn": [{"namespace": "stage", "name": "iris"}],
        "windows": [{"timeZone": "Europe/Atlantis"}],
        "webhooks": [{"name": "a", "at": "BeforePromotion", "url": "https://a.test"}],
    }
    cluster.template = "aaaa"
    cluster.run(4)
    assert cluster.status.phase is Phase.BAKING


def test_spec_paused_holds_it_as_it_holds_everything() -> None:
    cluster = promoted("aaaa", "bbbb", window=1)
    cluster.template, cluster.paused = "aaaa", True
    cluster.run(10)
    assert cluster.routes == {"vbbbb": 100, "vaaaa": 0}


@pytest.mark.parametrize(("window", "steps"), [(0, True), (1, True), (2, False)])
def test_older_stables_than_the_window_go_through_the_steps(window: int, steps: bool) -> None:
    cluster = promoted("aaaa", "bbbb", "cccc", window=window)
    cluster.template = "aaaa"
    cluster.run(4)
    assert (cluster.status.phase is Phase.STEPPING) is steps


def test_one_that_was_rolled_back_since_goes_through_the_steps() -> None:
    cluster = promoted("aaaa", "bbbb", window=3)
    cluster.template = "aaaa"
    cluster.run(4)
    cluster.say(Verdict.HARM)
    cluster.run(10)
    assert cluster.status.phase is Phase.ROLLED_BACK
    cluster.say(Verdict.PASS)
    cluster.promote_to("cccc")
    cluster.template = "aaaa"
    cluster.run(4)
    assert cluster.status.phase is Phase.STEPPING


def test_a_revision_that_never_was_the_stable_does_not_return() -> None:
    entry = HistoryEntry(
        revision="bbbb", predictor="v", outcome="Promoted", reason="", message="", replaced="aaaa"
    )
    status = RolloutStatus(history=[entry])
    assert returns_to_a_recent_stable(status, "aaaa", 1)
    assert not returns_to_a_recent_stable(status, "bbbb", 1)
    assert not returns_to_a_recent_stable(status, "cccc", 1)


def test_each_stable_is_kept_once_newest_first_and_numbered_as_in_the_history() -> None:
    cluster = promoted("aaaa", "bbbb", "aaaa", "cccc")
    assert [(t.number, t.revision) for t in cluster.status.templates] == [
        (3, "cccc"),
        (2, "aaaa"),
        (1, "bbbb"),
    ]


def test_who_and_why_are_those_of_the_change_that_began_the_rollout() -> None:
    cluster = SmallCluster(changed_by="argocd", change_cause="model 7").rolling_out()
    cluster.changed_by, cluster.change_cause = "kubectl-edit", "scaled up"
    cluster.say(Verdict.PASS)
    cluster.run(90)
    entry = cluster.status.history[0]
    assert (entry.changed_by, entry.change_cause, entry.replaced) == ("argocd", "model 7", "aaaa")


def test_the_history_has_the_decisions_in_order_with_numbers_and_not_without_end() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    cluster.run(90)
    decisions = cluster.status.history[0].decisions
    reasons = [entry.reason for entry in decisions]
    assert reasons == [
        "RolloutStarted", "CandidateReady", "StepStarted", "StepStarted", "Promoting", "Baking",
    ]  # fmt: skip
    assert decisions == sorted(decisions, key=lambda entry: entry.at)
    assert decisions[4].checks == "errors Pass -/- (100/0)"
    for template in ("cccc", "dddd", "eeee"):
        cluster.promote_to(template)
    kept = [bool(entry.decisions) for entry in cluster.status.history]
    assert kept == [True, True, False, False]
