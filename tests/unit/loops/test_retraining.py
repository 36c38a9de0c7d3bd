"""Drift starts a retraining: once, not too often, never two, and under a name that is known."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from sluice.api.monitoring_status import Retraining
from sluice.api.rollout import COMMAND_ANNOTATION
from sluice.engine.commands import Command, Request
from sluice.loops.audit import AuditLog
from sluice.loops.posting import Reply
from sluice.resources import CRON_JOBS, JOBS, MODEL_ROLLOUTS

from .monitored_loop import QUICK, SHIFTED, USUAL, MonitoredLoop

JOB = {**QUICK, "onDrift": {"job": {"cronJob": "retrain"}}}
HOOK_URL = "https://ci.example.com/retrain"
CRON_JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {"name": "retrain", "namespace": "prod"},
    "spec": {
        "schedule": "0 0 1 1 *",
        "suspend": True,
        "jobTemplate": {
            "metadata": {"labels": {"team": "ml"}},
            "spec": {
                "backoffLimit": 1,
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [
                            {"name": "train", "image": "t", "env": [{"name": "A", "value": "1"}]}
                        ],
                    }
                },
            },
        },
    },
}


def drifting(monitoring: dict[str, Any] | None = None, *, cron_job: bool = True) -> MonitoredLoop:
    loop = MonitoredLoop().promoted(**(monitoring or JOB))
    if cron_job:
        loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    loop.watch(12)
    loop.live["width"] = SHIFTED
    loop.watch(20)
    assert loop.said() == ("True", "Drifted")
    return loop


def jobs(loop: MonitoredLoop) -> list[dict[str, Any]]:
    return list(loop.client.list(JOBS).items)


def retrainings(loop: MonitoredLoop) -> list[Retraining]:
    found = loop.status.monitoring
    assert found is not None
    return found.retrainings


def end(loop: MonitoredLoop, kind: str = "Complete", message: str = "") -> None:
    """The newest Job ends."""
    for job in jobs(loop):
        if not job.get("status"):
            condition = {"type": kind, "status": "True", "message": message}
            job["status"] = {"conditions": [condition]}
            loop.client.replace(JOBS, job, subresource="status")
    look(loop)


def look(loop: MonitoredLoop, days: float = 0.0) -> None:
    """Time passes, then a pass as the queue would bring it."""
    loop.clock.advance(days * 86_400 + 15)
    loop.woken.append("prod/iris")
    loop.pass_woken()


def test_drift_makes_a_job_of_the_cron_jobs_template_with_what_drifted() -> None:
    loop = drifting()
    [job] = jobs(loop)
    [entry] = retrainings(loop)
    assert (entry.state, entry.trigger, entry.features) == ("Running", "Drifted", ["width"])
    assert job["metadata"]["name"] == entry.job == f"iris-retrain-{entry.id}"
    labels = job["metadata"]["labels"]
    assert labels["team"] == "ml"
    assert labels["sluice.dev/model-rollout"] == "iris"
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("ModelRollout", "iris", True)
    assert job["spec"]["backoffLimit"] == 1
    [container] = job["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert env["A"] == "1"
    assert env["SLUICE_RETRAIN_REASON"] == "Drifted"
    told = json.loads(env["SLUICE_RETRAIN_INPUT"])
    assert told == json.loads(job["metadata"]["annotations"]["sluice.dev/retraining-input"])
    assert told["rollout"]["name"] == "iris"
    assert told["images"] == ["repo/iris:1"]
    [feature] = told["features"]
    assert feature["name"] == "width"
    assert feature["value"] > feature["threshold"]
    assert loop.told.reasons[-3:] == ["Drifted", "RetrainingDue", "RetrainingStarted"]


@pytest.mark.parametrize(
    ("kind", "state", "event"),
    [("Complete", "Succeeded", "RetrainingSucceeded"), ("Failed", "Failed", "RetrainingFailed")],
)
def test_the_end_of_the_job_is_in_the_history(kind: str, state: str, event: str) -> None:
    loop = drifting()
    end(loop, kind, "BackoffLimitExceeded")
    [entry] = retrainings(loop)
    assert entry.state == state
    assert entry.ended_at is not None
    assert event in loop.told.reasons


def test_it_comes_again_after_the_cooldown_and_at_most_so_often_a_week() -> None:
    loop = drifting()
    end(loop)
    look(loop, days=0.5)
    assert len(jobs(loop)) == 1, "cooldown"
    look(loop, days=0.6)
    assert len(jobs(loop)) == 2
    end(loop)
    for _ in range(5):
        look(loop, days=1.0)
    assert len(jobs(loop)) == 2, "two within seven days"
    look(loop, days=1.0)
    assert len(jobs(loop)) == 3
    assert [entry.number for entry in retrainings(loop)] == [3, 2, 1]


def test_never_two_at_once() -> None:
    loop = drifting()
    look(loop, days=3)
    assert len(jobs(loop)) == 1


def test_a_running_job_that_the_status_has_forgotten_blocks() -> None:
    loop = drifting()
    forgotten = jobs(loop)[0]["metadata"]["name"]
    obj = loop.rollouts.get("prod", "iris")
    assert obj is not None
    del obj["status"]["monitoring"]
    loop.client.replace(MODEL_ROLLOUTS, obj, subresource="status")
    loop.watch(4)
    [entry] = retrainings(loop)
    assert entry.state == "Pending"
    assert forgotten in entry.message
    assert len(jobs(loop)) == 1
    end(loop)
    look(loop)
    assert retrainings(loop)[0].state == "Running"


def test_a_pass_whose_status_was_not_written_makes_no_second_job() -> None:
    loop = MonitoredLoop().promoted(**JOB)
    loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    loop.watch(12)
    loop.live["width"] = SHIFTED

    def refuse(call: Any) -> None:
        if call.method == "POST" and call.path.endswith("/jobs"):
            loop.kube.fail_next("update", "modelrollouts", status=500)
            loop.kube.on_call = None

    loop.kube.on_call = refuse
    with pytest.raises(Exception, match="injected"):
        loop.watch(20)
    assert len(jobs(loop)) == 1
    assert retrainings(loop)[0].state == "Pending"
    loop.start_controller()
    loop.watch(2)
    look(loop)
    assert len(jobs(loop)) == 1
    assert retrainings(loop)[0].state == "Running"


def test_a_missing_right_is_told_and_it_starts_once_it_is_there() -> None:
    loop = MonitoredLoop().promoted(**JOB)
    loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    loop.watch(12)
    loop.live["width"] = SHIFTED
    said = (
        'User "sluice" cannot create resource "jobs" in API group "batch" in the namespace "prod"'
    )
    loop.kube.fail_next("create", "jobs", status=403, message=said, times=10_000)
    loop.watch(20)
    [entry] = retrainings(loop)
    assert entry.state == "Pending"
    assert "lacks a right: create jobs.batch" in entry.message
    look(loop)
    look(loop)
    assert loop.told.reasons.count("RetrainingWaits") == 1
    loop.kube.heal()
    look(loop)
    assert retrainings(loop)[0].state == "Running"
    assert len(jobs(loop)) == 1


def test_a_missing_cron_job_is_told_and_the_wait_ends_with_the_drift() -> None:
    loop = drifting(cron_job=False)
    [entry] = retrainings(loop)
    assert entry.state == "Pending"
    assert "no CronJob retrain in namespace prod" in entry.message
    loop.live["width"] = USUAL
    loop.watch(60)
    assert loop.said() == ("False", "WithinThreshold")
    # A template that comes now starts nothing.
    loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    look(loop)
    assert [entry.state for entry in retrainings(loop)] == ["Cancelled"]
    assert jobs(loop) == []


def test_none_begins_while_a_rollout_is_under_way() -> None:
    loop = MonitoredLoop().promoted(**JOB)
    loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    loop.watch(12)
    loop.requests = 10  # too few to decide
    loop.apply("repo/iris:2", monitoring=JOB)
    loop.settle()
    loop.tick()
    loop.live["width"] = SHIFTED
    loop.watch(20)
    assert loop.status.phase.active
    assert loop.said() == ("True", "Drifted"), "the stable is watched all the same"
    assert jobs(loop) == []
    loop.apply("repo/iris:1", monitoring=JOB)
    loop.settle()
    loop.tick()
    assert not loop.status.phase.active
    look(loop)
    assert len(jobs(loop)) == 1


class Listener:
    """A webhook's receiver; `status` is its answer."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.got: list[tuple[str, dict[str, Any], dict[str, str]]] = []

    def __call__(self, url: str, body: bytes, headers: Any, timeout: float) -> Reply:
        del timeout
        self.got.append((url, json.loads(body), dict(headers)))
        return Reply(self.status, b'{"message": "queued as 17"}')


@pytest.mark.parametrize(("status", "state"), [(202, "Succeeded"), (500, "Failed")])
def test_a_webhook_is_told_what_drifted(status: int, state: str) -> None:
    listener = Listener(status)
    loop = MonitoredLoop()
    loop.post = listener
    loop.start_controller()
    loop.promoted(**QUICK, onDrift={"webhook": {"url": HOOK_URL, "retries": 0}})
    loop.watch(12)
    loop.live["width"] = SHIFTED
    loop.watch(20)
    [entry] = retrainings(loop)
    assert entry.state == "Pending"
    loop.hooks.one(("prod/iris", f"retrain-{entry.id}"))
    loop.pass_woken()
    [entry] = retrainings(loop)
    assert (entry.state, entry.told) == (state, "ci.example.com")
    assert "queued as 17" in entry.message
    [(url, body, headers)] = listener.got
    assert url == HOOK_URL
    assert body["kind"] == "RetrainingRequest"
    assert body["features"][0]["name"] == "width"
    assert headers["Idempotency-Key"] == f"retrain-{entry.id}-1"


def test_decay_has_a_reaction_of_its_own() -> None:
    loop = MonitoredLoop()
    loop.accuracy = 0.9
    decay = {"learning": "10m", "levelFeedback": 400}
    loop.promoted(decay=decay, onDecay={"job": {"cronJob": "retrain"}})
    loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    loop.watch(40)
    loop.accuracy = 0.6
    loop.watch(60)
    [entry] = retrainings(loop)
    assert (entry.trigger, entry.state) == ("Decayed", "Running")
    [job] = jobs(loop)
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    told = json.loads({one["name"]: one["value"] for one in env}["SLUICE_RETRAIN_INPUT"])
    assert told["decay"]["drop"] > told["decay"]["tolerance"]


def test_the_audit_log_tells_it_all(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    loop = MonitoredLoop(audit=AuditLog(str(path))).promoted(**JOB)
    loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    loop.watch(12)
    loop.live["width"] = SHIFTED
    loop.watch(20)
    end(loop)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    told = [line["reason"] for line in lines]
    assert told[-4:] == ["Drifted", "RetrainingDue", "RetrainingStarted", "RetrainingSucceeded"]
    assert "width: ks" in lines[-3]["message"]
    assert lines[-1]["stable"] == loop.status.stable.revision  # type: ignore[union-attr]


def test_the_history_is_bounded() -> None:
    loop = drifting({**JOB, "cooldown": "1s", "maxPerWeek": 20})
    for _ in range(25):
        end(loop)
        look(loop, days=0.5)
    assert len(retrainings(loop)) == 20


def ask(loop: MonitoredLoop, why: str = "") -> None:
    """As `sluice retrain` does, and the passes that answer it."""
    request = Request(uuid.uuid4().hex, Command.RETRAIN, "", by="mara@example.com", why=why)
    body = {"metadata": {"annotations": {COMMAND_ANNOTATION: request.to_annotation()}}}
    loop.client.merge_patch(MODEL_ROLLOUTS, "iris", "prod", body)
    look(loop)


def usual(**monitoring: Any) -> MonitoredLoop:
    """A model with which nothing is wrong."""
    loop = MonitoredLoop().promoted(**{**JOB, **monitoring})
    loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    loop.watch(12)
    assert jobs(loop) == []
    return loop


def test_by_hand_it_starts_at_once_and_the_job_knows_who_asked_and_why() -> None:
    loop = usual()
    ask(loop, "the labels of May are in")
    [job], [entry] = jobs(loop), retrainings(loop)
    assert (entry.state, entry.trigger) == ("Running", "Requested")
    assert (entry.by, entry.why) == ("mara@example.com", "the labels of May are in")
    [container] = job["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert env["SLUICE_RETRAIN_REASON"] == "Requested"
    told = json.loads(env["SLUICE_RETRAIN_INPUT"])
    assert (told["reason"], told["by"], told["why"]) == ("Requested", entry.by, entry.why)
    loop.watch(4)
    assert retrainings(loop)[0].state == "Running", "no look of the monitoring takes it back"
    end(loop)
    assert retrainings(loop)[0].state == "Succeeded"


def test_by_hand_it_passes_over_the_cooldown_and_the_week_and_counts_in_both() -> None:
    loop = drifting({**JOB, "maxPerWeek": 1})
    end(loop)
    ask(loop)
    assert len(jobs(loop)) == 2, "one a week, and yet"
    end(loop)
    look(loop, days=6.5)
    assert len(jobs(loop)) == 2
    look(loop, days=0.6)
    assert len(jobs(loop)) == 3
    assert [one.trigger for one in retrainings(loop)] == ["Drifted", "Requested", "Drifted"]

    late = usual()
    ask(late)
    end(late)
    late.live["width"] = SHIFTED
    late.watch(20)
    assert late.said() == ("True", "Drifted")
    assert len(jobs(late)) == 1, "the cooldown of the one by hand"


def test_by_hand_never_two_at_once() -> None:
    loop = drifting()
    ask(loop)
    assert len(jobs(loop)) == 1
    last = loop.status.last_command
    assert last is not None
    assert not last.accepted
    assert last.message.startswith(
        f"retraining 1 is running (Job {jobs(loop)[0]['metadata']['name']})"
    )


def test_by_hand_it_starts_while_a_rollout_is_under_way() -> None:
    loop = usual()
    loop.requests = 10  # too few to decide
    loop.apply("repo/iris:2", monitoring=JOB)
    loop.settle()
    loop.tick()
    assert loop.status.phase.active
    ask(loop)
    assert loop.status.phase.active
    assert len(jobs(loop)) == 1


def test_by_hand_before_the_first_look_it_is_kept_and_starts_then() -> None:
    loop = usual()
    loop.start_controller()
    ask(loop)
    assert retrainings(loop)[0].state == "Pending"
    loop.watch(1)
    assert retrainings(loop)[0].state == "Running"
    assert len(jobs(loop)) == 1


def test_by_hand_one_that_waits_ends_when_the_spec_declares_none_any_more() -> None:
    loop = MonitoredLoop().promoted(**JOB)
    loop.watch(12)
    ask(loop)
    assert "no CronJob retrain" in retrainings(loop)[0].message
    loop.apply("repo/iris:1", monitoring=QUICK)
    look(loop)
    assert retrainings(loop)[0].state == "Cancelled"


def test_the_audit_log_has_the_command_with_who_and_why(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    loop = MonitoredLoop(audit=AuditLog(str(path))).promoted(**JOB)
    loop.client.create(CRON_JOBS, CRON_JOB, "prod")
    loop.watch(12)
    ask(loop, "the labels of May are in")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    [accepted] = [line for line in lines if line["reason"] == "CommandAccepted"]
    assert accepted["command"]["command"] == "retrain"
    assert accepted["command"]["by"] == "mara@example.com"
    assert accepted["command"]["why"] == "the labels of May are in"
    assert "RetrainingStarted" in [line["reason"] for line in lines]
