"""A pause step, going back, and a restart on the real parts, under load."""

from __future__ import annotations

from collections.abc import Callable

from trial import Trial, sluice

from sluice.api.status import Phase

Start = Callable[[str], Trial]
PAUSED = {"steps": [{"weight": 20, "pause": True}, {"weight": 50, "hold": "1s"}]}


def test_a_pause_step_waits_for_a_person_and_undo_brings_the_old_one_back_without_steps(
    start: Start,
) -> None:
    rollout = start("undo")
    cluster, name = rollout.cluster, rollout.name
    rollout.create(rollbackWindow={"revisions": 1})
    first = rollout.status().stable
    assert first is not None
    rollout.change("better", canary=PAUSED, rollbackWindow={"revisions": 1})
    waiting = rollout.until(lambda s: s.pause is not None, "the pause")
    assert waiting.pause is not None
    assert waiting.pause.reason == "PauseStep"
    assert "waits for `sluice resume`" in sluice(cluster, "status", name).stdout
    assert sluice(cluster, "resume", name).returncode == 0
    promoted = rollout.until_ended("Promoted")
    assert promoted.stable is not None
    assert promoted.stable.revision != first.revision

    said = sluice(cluster, "undo", name)
    assert said.returncode == 0, said.stderr
    back = rollout.until(
        lambda s: s.history[0].reason == "ReturnedToStable", "the old version being back"
    )
    assert back.stable is not None
    assert back.stable.revision == first.revision
    assert rollout.weights is not None
    shares = rollout.weights.of(first.predictor)
    assert [share for share in shares[-3:] if 0 < share < 95] == [], "no step on the way back"
    assert rollout.failures() == []


def test_a_restart_brings_new_pods_of_the_same_version_in_step_by_step(start: Start) -> None:
    rollout = start("restart")
    cluster, name = rollout.cluster, rollout.name
    rollout.create(canary=PAUSED)
    before = rollout.status().stable
    assert before is not None
    assert sluice(cluster, "restart", name).returncode == 0
    waiting = rollout.until(lambda s: s.pause is not None, "the pause")
    assert waiting.phase is Phase.STEPPING
    assert sluice(cluster, "restart", name).returncode == 4, "one is in progress"
    assert sluice(cluster, "resume", name).returncode == 0
    after = rollout.until_ended("Promoted").stable
    assert after is not None
    assert after.images == before.images
    assert after.predictor != before.predictor
    assert rollout.failures() == []
