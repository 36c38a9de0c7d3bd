"""A pod's status, and its probes, from what its processes do."""

from __future__ import annotations

from typing import Any

from sluice.sandbox.pod_status import ContainerView, Exit, pod_status
from sluice.sandbox.probes import Prober


def condition(status: dict[str, object], kind: str) -> dict[str, str]:
    conditions = status["conditions"]
    assert isinstance(conditions, list)
    return next(item for item in conditions if item["type"] == kind)


def status_of(
    *views: ContainerView, before: dict[str, object] | None = None, now: float = 0.0, **more: bool
) -> dict[str, object]:
    return pod_status(before or {}, views, address="127.64.0.2", started=0.0, now=now, **more)


RUNNING = ContainerView("model", "m:1", ready=True, started_at=1.0)
CRASHED = ContainerView(
    "model", "m:1", waiting="CrashLoopBackOff", restarts=1, last_exit=Exit(1, 1.0, 2.0)
)


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    engine = ContainerView("engine", "e:1", ready=False, started_at=1.0)
    assert condition(status_of(RUNNING), "Ready")["status"] == "True"
    partly = condition(status_of(RUNNING, engine), "Ready")
    assert (partly["status"], partly["reason"]) == ("False", "ContainersNotReady")
    assert "engine" in partly["message"]


def test_a_pod_is_pending_until_everything_has_run_once_and_stays_running_then() -> None:
    assert status_of(ContainerView("model", "m:1"))["phase"] == "Pending"
    assert status_of(RUNNING)["phase"] == "Running"
    assert status_of(CRASHED)["phase"] == "Running"
    again = status_of(ContainerView("model", "m:1"), before={"phase": "Running"})
    assert again["phase"] == "Running"


def test_a_crash_loop_shows_its_reason_its_count_and_its_last_exit() -> None:
    [container] = status_of(CRASHED)["containerStatuses"]  # type: ignore[misc]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["restartCount"] == 1
    assert container["lastState"]["terminated"]["exitCode"] == 1


def test_death_by_a_signal_is_reported_as_kubelet_does() -> None:
    assert Exit(-9, 0.0, 1.0).state()["exitCode"] == 137


def test_a_transition_time_changes_only_with_the_condition() -> None:
    first = status_of(RUNNING, now=100.0)
    same = status_of(RUNNING, before=first, now=200.0)
    changed = status_of(CRASHED, before=same, now=300.0)
    assert condition(same, "Ready") == condition(first, "Ready")
    assert condition(changed, "Ready")["lastTransitionTime"].endswith("00:05:00Z")


def test_a_pod_held_unready_is_unready_with_all_containers_ready() -> None:
    held = status_of(RUNNING, ready_override=False)
    assert condition(held, "Ready")["status"] == "False"
    assert condition(held, "ContainersReady")["status"] == "True"


def test_a_readiness_probe_needs_its_failure_threshold_to_fail() -> None:
    prober = Prober.of({"failureThreshold": 3}, initially=False, shortened=True)
    assert prober is not None
    prober.begin(0.0, passing=False)
    results = iter([True, False, False, True, False, False, False])
    seen = []
    for moment in range(7):
        prober.run_if_due(float(moment), lambda spec: next(results))
        seen.append(prober.passing)
    assert seen == [True, True, True, True, True, True, False]


def test_seldons_long_initial_delay_is_cut_short_for_readiness_only() -> None:
    spec = {"initialDelaySeconds": 60, "periodSeconds": 5}
    for shortened, due in ((True, 1.0), (False, 60.0)):
        prober = Prober.of(spec, initially=True, shortened=shortened)
        assert prober is not None
        prober.begin(0.0, passing=True)
        assert prober.due == due


def test_what_ran_to_its_end_is_over_and_the_pod_with_it() -> None:
    done = ContainerView("train", "t", last_exit=Exit(0, 10.0, 20.0), over=True)
    found: Any = status_of(done)
    assert found["phase"] == "Succeeded"
    [container] = found["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 0
    assert "lastState" not in container
    assert container["ready"] is False

    failed = ContainerView("train", "t", last_exit=Exit(3, 10.0, 20.0), over=True)
    assert status_of(failed)["phase"] == "Failed"
    assert status_of(done, failed)["phase"] == "Failed"
    beside = ContainerView("other", "t", ready=True, started_at=10.0)
    assert status_of(done, beside)["phase"] == "Running"
