"""A promoted model is watched: what is declared, what is not, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sluice.resources import MODEL_ROLLOUTS

from .monitored_loop import QUICK, SHIFTED, USUAL, MonitoredLoop


def writes(loop: MonitoredLoop) -> int:
    return sum(loop.kube.count(verb) for verb in ("create", "update", "patch"))


def counted(loop: MonitoredLoop) -> int:
    """Requests in the window of the first feature, as the last look had it."""
    seen = loop.monitoring.seen("prod/iris")
    assert seen is not None
    return int(seen.drift[0].requests)


def test_what_is_as_in_training_is_learned_and_then_within_the_threshold() -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(2)
    assert loop.said() == ("Unknown", "Learning")
    loop.watch(12)
    assert loop.said() == ("False", "WithinThreshold")
    monitored = loop.status.monitoring
    assert monitored is not None
    assert [row.name for row in monitored.features] == ["height", "width"]
    assert all(row.distance == "ks" and row.threshold == 0.1 for row in monitored.features)
    assert monitored.profile == "p1"


def test_a_shifted_feature_is_declared_with_its_numbers_and_an_event() -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(12)
    loop.live["width"] = SHIFTED
    loop.watch(20)
    assert loop.said() == ("True", "Drifted")
    assert "width: ks 0." in loop.condition().message
    assert "height" not in loop.condition().message
    assert loop.told.reasons.count("Drifted") == 1
    monitored = loop.status.monitoring
    assert monitored is not None
    [row] = [row for row in monitored.features if row.drifted]
    assert row.name == "width"
    assert row.value > row.threshold
    assert row.evidence >= row.needed
    assert row.since is not None
    loop.live["width"] = USUAL
    loop.watch(60)
    assert loop.said() == ("False", "WithinThreshold")
    assert loop.told.reasons.count("NoLongerDrifted") == 1


def test_an_outage_of_the_metrics_neither_declares_nor_clears() -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(14)
    loop.prometheus.down = True
    loop.watch(4)
    assert loop.said() == ("False", "WithinThreshold"), "a short one is not worth a word"
    loop.watch(10)
    assert loop.said() == ("Unknown", "MetricsUnavailable")
    loop.prometheus.down = False
    loop.watch(2)
    assert loop.said() == ("False", "WithinThreshold")
    loop.live["width"] = SHIFTED
    loop.watch(20)
    assert loop.said() == ("True", "Drifted")
    loop.prometheus.down = True
    loop.live["width"] = USUAL
    loop.watch(60)
    assert loop.said() == ("True", "Drifted")
    loop.start_controller()
    loop.watch(14)
    assert loop.said() == ("True", "Drifted"), "nor does a start in the outage"
    assert loop.told.reasons.count("Drifted") == 1


def test_a_restart_goes_on_with_the_evidence() -> None:
    loop = MonitoredLoop().promoted(drift={"learning": "20m"})
    loop.watch(30)
    before = loop.status.monitoring
    assert before is not None
    assert before.checkpoint is not None
    loop.start_controller()
    loop.watch(2)
    after = loop.status.monitoring
    assert after is not None
    assert after.since == before.since
    loop.watch(24)
    assert loop.said() == ("False", "WithinThreshold"), "half of the learning was before it"
    age = loop.clock.now() - loop.status.monitoring.checkpoint.started_at  # type: ignore[union-attr]
    assert age < 60 * 30.0


def test_pods_that_restart_or_come_are_counted_from_nought() -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(14)
    old = f"iris-{loop.stable}-0"
    loop.prometheus.restart_pod(old)
    loop.show_profile(loop.stable)
    loop.show_profile(loop.stable, pod="iris-second")
    loop.watch(10)
    assert loop.said() == ("False", "WithinThreshold")
    quiet = MonitoredLoop().promoted()
    quiet.watch(24)
    assert counted(loop) == pytest.approx(counted(quiet), rel=0.1), "nothing twice, nothing lost"


def test_a_new_profile_begins_anew_and_the_same_one_goes_on() -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(14)
    first, since = loop.stable, loop.status.monitoring.since  # type: ignore[union-attr]

    loop.apply("repo/iris:2", monitoring=QUICK)
    loop.settle()
    loop.tick(17)
    assert loop.stable != first
    loop.shown.clear()
    loop.show_profile(loop.stable, "p1")
    loop.watch(2)
    assert loop.said() == ("False", "WithinThreshold")
    assert loop.status.monitoring.since == since  # type: ignore[union-attr]

    loop.apply("repo/iris:3", monitoring=QUICK)
    loop.settle()
    loop.tick(17)
    loop.shown.clear()
    loop.show_profile(loop.stable, "p2", SHIFTED)
    loop.live = dict.fromkeys(loop.live, SHIFTED)
    loop.watch(2)
    assert loop.said() == ("Unknown", "Learning")
    assert loop.status.monitoring.profile == "p2"  # type: ignore[union-attr]
    loop.watch(14)
    assert loop.said() == ("False", "WithinThreshold"), "it fits what was shifted for the old one"


def test_drift_ends_when_the_stable_has_a_profile_that_fits() -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(12)
    loop.live = dict.fromkeys(loop.live, SHIFTED)
    loop.watch(20)
    assert loop.said() == ("True", "Drifted")
    loop.apply("repo/iris:2", monitoring=QUICK)
    loop.settle()
    loop.tick(17)
    loop.shown.clear()
    loop.show_profile(loop.stable, "p2", SHIFTED)
    loop.watch(20)
    assert loop.said() == ("False", "WithinThreshold")


def test_a_new_version_without_a_profile_has_no_drift_of_the_old_one() -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(12)
    loop.live["width"] = SHIFTED
    loop.watch(20)
    assert loop.said() == ("True", "Drifted")
    loop.apply("repo/iris:2", monitoring=QUICK)
    loop.settle()
    loop.tick(17)
    loop.shown.clear()
    loop.watch(2)
    assert loop.said() == ("Unknown", "NoProfile")
    assert loop.status.monitoring.features == []  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"learning": "10m"}, True),
        ({"threshold": 0.2}, False),
        ({"features": ["width"]}, False),
    ],
)
def test_evidence_outlives_a_change_of_the_spec_that_it_fits(
    change: dict[str, Any], kept: bool
) -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(14)
    since = loop.status.monitoring.since  # type: ignore[union-attr]
    loop.apply("repo/iris:1", monitoring={"drift": {**QUICK["drift"], **change}})
    loop.watch(2)
    assert (loop.status.monitoring.since == since) is kept  # type: ignore[union-attr]
    loop.watch(24)
    assert loop.said() == ("False", "WithinThreshold")


@pytest.mark.parametrize(
    ("serve", "reason", "says"),
    [
        ("nothing", "NoProfile", "model kit"),
        ("two", "ProfilesDiffer", "2 training profiles"),
        ("silent", "NoData", "no request"),
    ],
)
def test_what_cannot_be_told_is_unknown(serve: str, reason: str, says: str) -> None:
    loop = MonitoredLoop()
    loop.apply("repo/iris:1", monitoring=QUICK)
    loop.settle()
    loop.tick(2)
    if serve == "two":
        loop.show_profile(loop.stable, "p1", pod="iris-a")
        loop.show_profile(loop.stable, "p2", pod="iris-b")
    elif serve == "silent":
        loop.show_profile(loop.stable)
        loop.rps = 0.0
    loop.watch(3)
    assert loop.said() == ("Unknown", reason)
    assert says in loop.condition().message


def test_features_that_the_profile_lacks_are_told() -> None:
    loop = MonitoredLoop().promoted(drift={"learning": "5m", "features": ["width", "weight"]})
    loop.watch(14)
    assert loop.said() == ("Unknown", "NoSuchFeature")
    assert "weight" in loop.condition().message
    assert [row.name for row in loop.status.monitoring.features] == ["width"]  # type: ignore[union-attr]
    loop.live["width"] = SHIFTED
    loop.watch(20)
    assert loop.said() == ("True", "Drifted"), "what is there is watched all the same"


def test_decay_is_a_fall_below_the_level_at_promotion() -> None:
    loop = MonitoredLoop()
    loop.accuracy = 0.9
    loop.promoted(decay={"learning": "10m", "levelFeedback": 400, "tolerance": 0.03})
    loop.watch(3)
    assert loop.said("Decayed") == ("Unknown", "MeasuringLevel")
    assert loop.status.condition("Drifted") is None
    loop.watch(40)
    assert loop.said("Decayed") == ("False", "WithinTolerance")
    loop.accuracy = 0.6
    loop.watch(60)
    assert loop.said("Decayed") == ("True", "Decayed")
    decay = loop.status.monitoring.decay  # type: ignore[union-attr]
    assert decay is not None
    assert decay.level == pytest.approx(0.9, abs=0.05)
    assert decay.drop > decay.tolerance
    assert decay.level_feedback >= 400


def test_decay_by_rewards_counts_feedback_without_one() -> None:
    loop = MonitoredLoop()
    loop.reward_share = 0.8
    measured = {"measure": "Rewards", "learning": "10m", "levelFeedback": 400, "tolerance": 0.03}
    loop.promoted(decay=measured)
    loop.watch(40)
    assert loop.said("Decayed") == ("False", "WithinTolerance")
    assert loop.status.monitoring.decay.level == pytest.approx(0.8, abs=0.06)  # type: ignore[union-attr]
    loop.reward_share = 0.4
    loop.watch(60)
    assert loop.said("Decayed") == ("True", "Decayed")


def test_the_level_survives_a_restart_and_not_a_promotion() -> None:
    loop = MonitoredLoop()
    loop.accuracy = 0.9
    loop.promoted(decay={"learning": "5m", "levelFeedback": 300})
    loop.watch(25)
    level = loop.status.monitoring.checkpoint.level  # type: ignore[union-attr]
    loop.start_controller()
    loop.watch(12)
    assert loop.status.monitoring.checkpoint.level == level  # type: ignore[union-attr]
    loop.apply("repo/iris:2", monitoring={"decay": {"learning": "5m", "levelFeedback": 300}})
    loop.settle()
    loop.tick(17)
    loop.shown.clear()
    loop.show_profile(loop.stable)
    loop.watch(3)
    assert loop.said("Decayed") == ("Unknown", "MeasuringLevel")


def test_the_level_is_not_that_of_another_measure() -> None:
    loop = MonitoredLoop()
    loop.accuracy = 0.9
    loop.promoted(decay={"learning": "5m", "levelFeedback": 300})
    loop.watch(25)
    assert loop.said("Decayed")[0] == "False"
    loop.apply("repo/iris:1", monitoring={"decay": {"measure": "Rewards", "learning": "5m"}})
    loop.watch(2)
    assert loop.said("Decayed") == ("Unknown", "NoFeedback")
    loop.start_controller()
    loop.watch(2)
    assert loop.said("Decayed") == ("Unknown", "NoFeedback")


def test_feedback_without_outcomes_is_told() -> None:
    loop = MonitoredLoop().promoted(decay={})
    loop.watch(2)
    assert loop.said("Decayed") == ("Unknown", "NoFeedback")


def test_rollouts_that_do_not_ask_cost_nothing_and_the_others_little() -> None:
    loop = MonitoredLoop()
    loop.apply("repo/iris:1")
    loop.settle()
    loop.tick(2)
    loop.show_profile(loop.stable)
    loop.reconciler.reconcile("prod/iris")
    asked, written = len(loop.prometheus.queries), writes(loop)
    loop.watch(40)
    assert len(loop.prometheus.queries) == asked
    assert writes(loop) == written
    assert loop.status.monitoring is None

    loop.apply("repo/iris:1", monitoring=QUICK)
    loop.reconciler.reconcile("prod/iris")
    loop.watch(20)
    asked, written = len(loop.prometheus.queries), writes(loop)
    loop.watch(40)
    assert len(loop.prometheus.queries) - asked == 2 * 40
    assert 3 <= writes(loop) - written <= 4, "twenty minutes: a checkpoint every five"
    loop.rps = 0.0
    written = writes(loop)
    loop.watch(40)
    assert writes(loop) - written <= 2, "without requests there is nothing to keep"


def test_what_is_no_longer_asked_leaves_the_status() -> None:
    loop = MonitoredLoop().promoted()
    loop.watch(5)
    assert loop.status.monitoring is not None
    loop.apply("repo/iris:1")
    loop.reconciler.reconcile("prod/iris")
    assert loop.status.monitoring is None
    assert loop.status.condition("Drifted") is None
    assert loop.status.condition("Ready") is not None


def test_the_same_hours_are_compared_once_they_are_known() -> None:
    loop = MonitoredLoop()
    loop.rps = 2.0
    loop.promoted(drift={"learning": "1h", "sameHours": True})
    loop.watch(4)
    assert loop.said() == ("Unknown", "LearningHours")
    checkpoint = loop.status.monitoring.checkpoint  # type: ignore[union-attr]
    assert checkpoint is not None
    assert checkpoint.seasons is not None


def test_many_rollouts_are_read_with_the_same_queries() -> None:
    loop = MonitoredLoop().promoted()
    body = loop.client.get(MODEL_ROLLOUTS, "iris", "prod")
    for i in range(20):
        other = {**body, "metadata": {"name": f"m{i}", "namespace": "prod"}}
        loop.client.create(MODEL_ROLLOUTS, other, "prod")
        made = loop.client.get(MODEL_ROLLOUTS, f"m{i}", "prod")
        loop.client.replace(
            MODEL_ROLLOUTS, {**made, "status": body["status"]}, subresource="status"
        )
        where = {"namespace": "prod", "deployment_name": f"m{i}", "predictor_name": loop.stable}
        loop.prometheus.count(f"m{i}-0", "sluice_model_profile_info", {**where, "profile": "p"}, 1)
    loop.watch(3)
    asked = len(loop.prometheus.queries)
    loop.watch(10)
    # m* show no reference, so that is asked for as well.
    assert len(loop.prometheus.queries) - asked == 3 * 10
    assert np.all([loop.monitoring.seen(f"prod/m{i}") is not None for i in range(20)])
