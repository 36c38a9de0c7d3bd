"""The questions for webhooks: their identity, their content, and how an answer is taken."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

from sluice.api.base import API_VERSION
from sluice.api.gates import Moment, OnFailure, Webhook
from sluice.api.status import GateState, GateStatus, HistoryEntry
from sluice.api.times import from_wire, to_wire
from sluice.engine.draft import Draft
from sluice.engine.facts import Question


def ask(draft: Draft, webhook: Webhook, old: GateStatus | None, step: int | None) -> GateStatus:
    """The gate as the newest answer leaves it; what still has to be asked goes to the draft."""
    status = draft.status
    # A waiting rollout has not started: what tells it from an earlier try is since when it waits.
    began = status.phase_started_at if webhook.at is Moment.BEFORE_START else status.started_at
    revision = draft.inputs.desired.revision
    identity = question_id(draft, webhook, revision, began, step)
    gate = _taken(draft, webhook, identity, old)
    if gate.state is GateState.OPEN:
        return gate
    if gate.attempt is None:
        draft.questions.append(Question(identity, 1, webhook, _body(draft, webhook, step)))
        return gate
    if webhook.on_failure is OnFailure.ROLL_BACK:
        return gate
    due = (from_wire(gate.asked_at) or draft.now) + webhook.interval
    if draft.now >= due:
        draft.questions.append(
            Question(identity, gate.attempt + 1, webhook, _body(draft, webhook, step))
        )
    else:
        draft.look_again_in(due - draft.now)
    return gate


def tell_the_end(draft: Draft) -> None:
    """AfterEnd: tell each webhook of an ended rollout until it was told, or all tries failed."""
    hooks = [w for w in draft.inputs.rollout.spec.gates.webhooks if w.at is Moment.AFTER_END]
    if not hooks and not draft.status.gates:
        return
    ends = [draft.ended] if draft.ended else []
    ends += [entry for entry in draft.status.history if entry != draft.ended]
    known = {gate.question: gate for gate in draft.status.gates if gate.question}
    told: list[GateStatus] = []
    for index, entry in enumerate(ends):
        for webhook in hooks:
            identity = question_id(draft, webhook, entry.revision, entry.ended_at, None)
            old = known.get(identity)
            if old is None and not (draft.ended and index == 0):
                continue  # it ended before anybody wanted to be told
            gate = _taken(draft, webhook, identity, old)
            if gate.attempt is None:
                body = _body(draft, webhook, None, ended=entry)
                draft.questions.append(Question(identity, 1, webhook, body))
            elif gate != old and gate.state is not GateState.OPEN:
                draft.note("GateFailed", f"{gate.name}: {gate.message}", warning=True)
            if gate.attempt is None or index == 0:  # of older ends only what is still to be told
                told.append(gate)
    others = [g for g in draft.status.gates if g.at != Moment.AFTER_END]
    if (gates := others + told) != draft.status.gates:
        draft.set(gates=gates)


def question_id(
    draft: Draft, webhook: Webhook, revision: str, began: str | None, step: int | None
) -> str:
    """One per rollout of a revision, moment and step: what makes asking twice harmless."""
    uid = draft.inputs.rollout.uid
    parts = (uid, revision, began, webhook.at, step, webhook.name, webhook.url)
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:24]


def host_of(webhook: Webhook) -> str:
    """Of the URL only this is shown: a path or a query may hold a token."""
    return urlsplit(webhook.url).hostname or "?"


def _taken(draft: Draft, webhook: Webhook, identity: str, old: GateStatus | None) -> GateStatus:
    if old is None or old.question != identity:
        old = GateStatus(
            name=webhook.name,
            state=GateState.CLOSED,
            message=f"waiting for the answer of {host_of(webhook)}",
            since=to_wire(draft.now),
            at=webhook.at.value,
            question=identity,
        )
    answer = draft.inputs.answers.get(identity)
    if answer is None or answer.attempt <= (old.attempt or 0):
        return old
    if answer.allowed:
        state = GateState.OPEN
    else:
        state = GateState.CLOSED if answer.answered else GateState.FAILED
    return old.model_copy(
        update={
            "state": state,
            "message": answer.message,
            "attempt": answer.attempt,
            "asked_at": to_wire(answer.at),
            "since": old.since if old.state is state else to_wire(draft.now),
        }
    )


def _body(
    draft: Draft, webhook: Webhook, step: int | None, ended: HistoryEntry | None = None
) -> dict[str, Any]:
    """The documented JSON (docs/gates.md). Nothing in it that a reader of the status has not."""
    rollout, status, desired = draft.inputs.rollout, draft.status, draft.inputs.desired
    steps = draft.inputs.policy.steps
    weight = {Moment.BEFORE_START: 0, Moment.BEFORE_PROMOTION: 100}.get(webhook.at)
    if step is not None:
        weight = steps[step].weight
    body: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "WebhookRequest",
        "rollout": {
            "namespace": rollout.namespace,
            "name": rollout.name,
            "uid": rollout.uid,
            "generation": rollout.generation,
        },
        "webhook": webhook.name,
        "at": webhook.at.value,
        "phase": status.phase.value,
        "revision": ended.revision if ended else desired.revision,
        "stable": status.stable.revision if status.stable else None,
        "images": list(ended.images if ended else desired.images),
        "source": dict(ended.source if ended else rollout.spec.source),
        "changedBy": ended.changed_by if ended else status.changed_by or rollout.changed_by,
        "step": None if step is None else step + 1,
        "weight": weight,
        "checks": [c.to_dict() for c in (ended.checks if ended else status.checks)],
        "outcome": None,
    }
    if ended:
        body["outcome"] = {
            "outcome": ended.outcome,
            "reason": ended.reason,
            "message": ended.message,
            "startedAt": ended.started_at,
            "endedAt": ended.ended_at,
        }
    return body
