"""Starts a retraining that the status has as Pending, and looks what became of a running one.

Rights on Jobs and CronJobs are only needed where a rollout asks for a Job; a missing one is told in
the retraining's message and in an Event, and it starts by itself once the right is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from sluice.api.monitoring import RetrainJob, RetrainWebhook
from sluice.api.monitoring_status import MonitoringStatus, Retraining, RetrainingState
from sluice.api.rollout import Rollout
from sluice.engine.retraining import (
    RETRAINING_LABEL,
    ROLLOUT_LABEL,
    Outcome,
    host_of,
    job_name,
    job_of,
    job_outcome,
    question_of,
    reaction_to,
    request_body,
)
from sluice.errors import AlreadyExistsError, ForbiddenError, InvalidError, NotFoundError
from sluice.kube.client import Client
from sluice.kube.failures import lacks_right
from sluice.loops.webhooks import Webhooks
from sluice.resources import CRON_JOBS, JOBS

log = structlog.get_logger()

_PENDING = RetrainingState.PENDING


class Retrainer:
    """`webhooks` are those of retrainings alone, None: none are asked. `dry_run`: none starts."""

    def __init__(
        self, client: Client, webhooks: Webhooks | None = None, *, dry_run: bool = False
    ) -> None:
        self._client = client
        self._webhooks = webhooks
        self._dry_run = dry_run

    def outcome(
        self, rollout: Rollout, status: MonitoringStatus, entry: Retraining
    ) -> Outcome | None:
        """Take the open retraining `entry` of the written status on; None: nothing is new.

        Raises ApiError for what a retry may mend.
        """
        spec = rollout.spec.monitoring
        if entry.state is RetrainingState.RUNNING and entry.job:
            return self._running(rollout, entry.job)
        if spec is None or self._dry_run:
            return None
        reaction = reaction_to(spec, entry)
        if reaction is None:
            return Outcome(RetrainingState.CANCELLED, "the spec asks for none any more")
        body = request_body(rollout, status, entry)
        if reaction.webhook is not None:
            return self._tell(rollout, reaction.webhook, entry, body)
        if reaction.job is None:
            return None
        try:
            return self._start(rollout, reaction.job, entry, body)
        except ForbiddenError as error:
            why = "the controller's role lacks a right" if lacks_right(error) else "it is forbidden"
            return Outcome(_PENDING, f"{why}: {error}")
        except InvalidError as error:
            return Outcome(RetrainingState.FAILED, f"the API server refuses the Job: {error}")

    def forget(self, key: str) -> None:
        """The rollout is gone."""
        if self._webhooks is not None:
            self._webhooks.forget(key)

    def _running(self, rollout: Rollout, name: str) -> Outcome | None:
        try:
            job: Mapping[str, Any] | None = self._client.get(JOBS, name, rollout.namespace)
        except NotFoundError:
            job = None
        except ForbiddenError as error:
            return Outcome(RetrainingState.RUNNING, f"its end cannot be seen: {error}", job=name)
        return job_outcome(job, name)

    def _start(
        self, rollout: Rollout, wanted: RetrainJob, entry: Retraining, body: Mapping[str, Any]
    ) -> Outcome:
        namespace = rollout.namespace
        try:
            cron_job = self._client.get(CRON_JOBS, wanted.cron_job, namespace)
        except NotFoundError:
            return Outcome(
                _PENDING,
                f"there is no CronJob {wanted.cron_job} in namespace {namespace}: apply it "
                "(suspend: true will do), or change spec.monitoring",
            )
        name = job_name(rollout, entry)
        if other := self._other(rollout, name):
            return Outcome(_PENDING, f"Job {other} is not over yet")
        job = job_of(rollout, cron_job, entry, body)
        try:
            self._client.create(JOBS, job, namespace)
            log.info("retraining started", rollout=rollout.key, job=name, reason=entry.trigger)
        except AlreadyExistsError:
            pass  # of this very retraining: a pass whose status was not written made it
        return Outcome(RetrainingState.RUNNING, "", job=name)

    def _other(self, rollout: Rollout, name: str) -> str | None:
        """A Job of ours that runs though the status does not know it (its history was lost)."""
        label = rollout.name[:63].rstrip("-.")
        listed = self._client.list(
            JOBS, namespace=rollout.namespace, label_selector=f"{ROLLOUT_LABEL}={label}"
        )
        for job in listed.items:
            meta = job["metadata"]
            ours = RETRAINING_LABEL in (meta.get("labels") or {}) and meta["name"] != name
            owners = {owner.get("uid") for owner in meta.get("ownerReferences") or ()}
            if ours and rollout.uid in owners and job_outcome(job, meta["name"]).state.open:
                return str(meta["name"])
        return None

    def _tell(
        self,
        rollout: Rollout,
        hook: RetrainWebhook,
        entry: Retraining,
        body: Mapping[str, Any],
    ) -> Outcome | None:
        if self._webhooks is None:
            return Outcome(_PENDING, "webhooks are not asked here")
        question, host = question_of(hook, entry, body), host_of(hook)
        answer = self._webhooks.answers(rollout.key).get(question.id)
        if answer is None:
            self._webhooks.ask(rollout.key, [question])
            return None
        state = RetrainingState.SUCCEEDED if answer.allowed else RetrainingState.FAILED
        return Outcome(state, answer.message, told=host)
