"""When a model is retrained, and with what as its input. Pure: nothing is started here.

A retraining is first written into the status as Pending and only then started, under a name made of
its number: a retry, or a second controller that believes it leads, starts the same one again, which
does nothing.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sluice.api.base import API_VERSION
from sluice.api.gates import Moment, Webhook
from sluice.api.monitoring import Monitoring, Reaction, RetrainWebhook
from sluice.api.monitoring_status import MonitoringStatus, Retraining, RetrainingState
from sluice.api.rollout import Rollout
from sluice.api.status import RolloutStatus
from sluice.api.times import from_wire, to_wire
from sluice.engine.facts import Question
from sluice.engine.inputs import Note
from sluice.engine.monitoring import DECAYED, DRIFTED, Answer

REQUESTED = "Requested"
ON_DRIFT, ON_DECAY = "onDrift", "onDecay"
WEEK = 7 * 86_400.0
KEPT = 20
POLL_SECONDS = 15.0
AT_ONCE = 0.1
"""Seconds until it is started: after the status was written."""
ROLLOUT_LABEL = "sluice.dev/model-rollout"
RETRAINING_LABEL = "sluice.dev/retraining"
REASON_VARIABLE = "SLUICE_RETRAIN_REASON"
INPUT_VARIABLE = "SLUICE_RETRAIN_INPUT"
INPUT_ANNOTATION = "sluice.dev/retraining-input"
_LONGEST_LABEL = 63
_LONGEST_PREFIX = 40
_MESSAGE = 300


@dataclass(frozen=True)
class Outcome:
    """What became of the open retraining, as far as it is known."""

    state: RetrainingState
    message: str = ""
    job: str | None = None
    told: str | None = None


@dataclass(frozen=True)
class Step:
    """The retrainings as they are now; `look_again` in seconds, None: when something changes."""

    retrainings: list[Retraining]
    notes: tuple[Note, ...] = ()
    look_again: float | None = None


def open_one(status: MonitoringStatus | None) -> Retraining | None:
    """The retraining that is not over. There is at most one."""
    entries = status.retrainings if status else []
    return next((one for one in entries if one.state.open), None)


def reaction_to(spec: Monitoring, entry: Retraining) -> Reaction | None:
    """What the spec wants done for this retraining; None: nothing any more."""
    field = entry.reaction or _FIELDS[entry.trigger]
    return spec.on_drift if field == ON_DRIFT else spec.on_decay


_FIELDS = {DRIFTED: ON_DRIFT, DECAYED: ON_DECAY, REQUESTED: ON_DRIFT}


def to_be_looked_at(
    spec: Monitoring, answers: Mapping[str, Answer], entry: Retraining, *, current: bool
) -> bool:
    """Whether to start it, or to see what became of it: not what is no longer wanted."""
    if entry.state is RetrainingState.RUNNING:
        return True
    return entry.trigger == REQUESTED or (current and _wanted(spec, answers, entry.trigger))


def step(
    rollout: Rollout,
    spec: Monitoring,
    status: RolloutStatus,
    found: MonitoringStatus,
    answers: Mapping[str, Answer],
    outcome: Outcome | None,
    now: float,
    *,
    current: bool,
) -> Step:
    """Take the open retraining on by its outcome, and begin one if it is time.

    `current`: the answers are about the stable as it is now. None begins while a rollout is under
    way: it may bring what the retraining would.
    """
    notes: list[Note] = []
    entries = list(found.retrainings)
    running = open_one(found)
    if running is not None:
        moved = _moved(running, spec, answers, outcome, now, notes, current=current)
        entries[entries.index(running)] = moved
        if moved.state.open:
            return Step(entries, tuple(notes), POLL_SECONDS)
    if status.phase.active or not current:
        return Step(entries, tuple(notes))
    wanted = next((t for t in (DRIFTED, DECAYED) if _wanted(spec, answers, t)), None)
    if wanted is None:
        return Step(entries, tuple(notes))
    if (wait := _allowed_in(spec, entries, now)) > 0:
        return Step(entries, tuple(notes), wait)
    entries = with_a_new_one(rollout, found, entries, wanted, now)
    notes.append(Note("RetrainingDue", f"{wanted}: {answers[wanted][2]}", warning=True))
    return Step(entries, tuple(notes), AT_ONCE)


def with_a_new_one(
    rollout: Rollout,
    found: MonitoringStatus,
    entries: list[Retraining],
    trigger: str,
    now: float,
    **told: str | None,
) -> list[Retraining]:
    """`entries` with one more in front, Pending: it is started once that is written.

    `told` are fields that only a requested one has.
    """
    number = entries[0].number + 1 if entries else 1
    new = Retraining(
        number=number,
        id=hashlib.sha256(f"{rollout.uid}/{number}/{to_wire(now)}".encode()).hexdigest()[:10],
        trigger=trigger,
        state=RetrainingState.PENDING,
        at=to_wire(now),
        revision=found.revision,
        features=[row.name for row in found.features if row.drifted][:KEPT],
    )
    return _kept([new.model_copy(update=told), *entries])


def _kept(entries: list[Retraining]) -> list[Retraining]:
    """The last ones; those that were never started go first, since the limits count the others."""
    while len(entries) > KEPT:
        never = [one for one in entries if one.state is RetrainingState.CANCELLED]
        gone = never[-1] if never else entries[-1]
        entries = [one for one in entries if one is not gone]
    return entries


def _moved(
    entry: Retraining,
    spec: Monitoring,
    answers: Mapping[str, Answer],
    outcome: Outcome | None,
    now: float,
    notes: list[Note],
    *,
    current: bool,
) -> Retraining:
    if outcome is not None:
        after = entry.model_copy(
            update={
                "state": outcome.state,
                "message": outcome.message[:_MESSAGE],
                "job": outcome.job or entry.job,
                "told": outcome.told or entry.told,
                "ended_at": None if outcome.state.open else to_wire(now),
            }
        )
        notes.extend(_notes(entry, after))
        return after
    asked = entry.trigger == REQUESTED
    over = current and not asked and not _wanted(spec, answers, entry.trigger)
    if entry.state is RetrainingState.PENDING and over:
        message = f"{entry.trigger} is not so any more"
        return entry.model_copy(
            update={
                "state": RetrainingState.CANCELLED,
                "message": message,
                "ended_at": to_wire(now),
            }
        )
    return entry


def _notes(before: Retraining, after: Retraining) -> list[Note]:
    what = f"Job {after.job}" if after.job else f"webhook of {after.told}" if after.told else "it"
    if after.state is RetrainingState.PENDING:
        told = after.message != before.message
        return [Note("RetrainingWaits", after.message, warning=True)] if told else []
    if before.state is RetrainingState.PENDING and after.state is RetrainingState.RUNNING:
        return [Note("RetrainingStarted", f"{what} for {after.trigger}")]
    if after.state is RetrainingState.SUCCEEDED:
        return [Note("RetrainingSucceeded", f"{what}: {after.message}")]
    if after.state is RetrainingState.FAILED:
        return [Note("RetrainingFailed", f"{what}: {after.message}", warning=True)]
    return []


def _wanted(spec: Monitoring, answers: Mapping[str, Answer], trigger: str) -> bool:
    said = answers.get(trigger)
    reaction = spec.on_drift if trigger == DRIFTED else spec.on_decay
    return said is not None and said[0] == "True" and reaction is not None


def _allowed_in(spec: Monitoring, entries: list[Retraining], now: float) -> float:
    """Seconds until cooldown and the limit of the week let another one start; 0: now."""
    starts = [
        from_wire(one.at) or 0.0 for one in entries if one.state is not RetrainingState.CANCELLED
    ]
    wait = max((at + spec.cooldown - now for at in starts), default=0.0)
    recent = sorted(at for at in starts if now - at < WEEK)
    if len(recent) >= spec.max_per_week:
        wait = max(wait, recent[-spec.max_per_week] + WEEK - now)
    return max(0.0, wait)


def request_body(rollout: Rollout, found: MonitoringStatus, entry: Retraining) -> dict[str, Any]:
    """The documented JSON (docs/model-quality.md): a Job's input, and what a webhook is told."""
    stable = rollout.status.stable
    decay = found.decay
    return {
        "apiVersion": API_VERSION,
        "kind": "RetrainingRequest",
        "id": entry.id,
        "number": entry.number,
        "reason": entry.trigger,
        "by": entry.by,
        "why": entry.why,
        "at": entry.at,
        "rollout": {
            "namespace": rollout.namespace,
            "name": rollout.name,
            "uid": rollout.uid,
            "generation": rollout.generation,
        },
        "revision": entry.revision,
        "predictor": found.predictor,
        "images": list(stable.images) if stable else [],
        "source": dict(stable.source) if stable else {},
        "profile": found.profile,
        "features": [
            row.to_dict() for row in found.features if row.drifted or row.name in entry.features
        ],
        "decay": decay.to_dict() if decay else None,
    }


def job_of(
    rollout: Rollout, cron_job: Mapping[str, Any], entry: Retraining, body: Mapping[str, Any]
) -> dict[str, Any]:
    """The Job that a CronJob's template makes, with the reason in its containers' environment."""
    template = copy.deepcopy(dict((cron_job.get("spec") or {}).get("jobTemplate") or {}))
    meta = dict(template.get("metadata") or {})
    text = json.dumps(body, separators=(",", ":"))
    spec = template.get("spec") or {}
    pod = spec.setdefault("template", {}).setdefault("spec", {})
    told = {REASON_VARIABLE: entry.trigger, INPUT_VARIABLE: text}
    for container in [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]:
        kept = [one for one in container.get("env") or () if one.get("name") not in told]
        container["env"] = kept + [{"name": name, "value": value} for name, value in told.items()]
    labels = {
        **(meta.get("labels") or {}),
        ROLLOUT_LABEL: rollout.name[:_LONGEST_LABEL].rstrip("-."),
        RETRAINING_LABEL: entry.id,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(rollout, entry),
            "namespace": rollout.namespace,
            "labels": labels,
            "annotations": {**(meta.get("annotations") or {}), INPUT_ANNOTATION: text},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "ModelRollout",
                    "name": rollout.name,
                    "uid": rollout.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": spec,
    }


def job_name(rollout: Rollout, entry: Retraining) -> str:
    """Always the same for a retraining; short enough for the names of its pods."""
    prefix = rollout.name[:_LONGEST_PREFIX].replace(".", "-").rstrip("-")
    return f"{prefix}-retrain-{entry.id}"


def question_of(hook: RetrainWebhook, entry: Retraining, body: Mapping[str, Any]) -> Question:
    """What `loops.webhooks` sends; its idempotency key is the retraining's."""
    webhook = Webhook(
        name="retrain",
        at=Moment.AFTER_END,
        url=hook.url,
        timeout=hook.timeout,
        retries=hook.retries,
        key=hook.key,
    )
    return Question(f"retrain-{entry.id}", 1, webhook, body)


def host_of(hook: RetrainWebhook) -> str:
    """Of the URL only this is shown."""
    return urlsplit(hook.url).hostname or "?"


def job_outcome(job: Mapping[str, Any] | None, name: str) -> Outcome:
    """What a Job's conditions say; None: it is not there."""
    if job is None:
        return Outcome(RetrainingState.FAILED, f"Job {name} is gone", job=name)
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") != "True":
            continue
        said = str(condition.get("message") or condition.get("reason") or "")
        if condition.get("type") == "Complete":
            return Outcome(RetrainingState.SUCCEEDED, "the Job is complete", job=name)
        if condition.get("type") == "Failed":
            return Outcome(RetrainingState.FAILED, said or "the Job has failed", job=name)
    return Outcome(RetrainingState.RUNNING, "", job=name)
