"""One pass over one rollout: read, decide, act, write the status, tell.

The decision is `sluice.engine.decide`; this module does only what a pure function cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import structlog

from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import (
    DeletionPolicy,
    Rollout,
    parse_rollout,
)
from sluice.api.status import Phase, RolloutStatus
from sluice.api.times import from_wire
from sluice.clock import Clock
from sluice.engine.conditions import stalled
from sluice.engine.decide import decide
from sluice.engine.inputs import Decision, Desired, Inputs
from sluice.engine.monitoring import essence
from sluice.engine.preflight_facts import PreflightFacts
from sluice.engine.world import World
from sluice.errors import ApiError, ForbiddenError, NotFoundError, SpecError
from sluice.kube.client import Client
from sluice.kube.failures import lacks_right
from sluice.loops.aftercare import Aftercare
from sluice.loops.gatekeeping import Gatekeeper
from sluice.loops.judging import Judging, comparison_of
from sluice.loops.keeping import Keeper
from sluice.loops.own_metrics import OwnMetrics
from sluice.loops.policies import Policies
from sluice.loops.preflights import Preflights
from sluice.loops.stores import Object, OwnWrites, spread
from sluice.resources import MODEL_ROLLOUTS
from sluice.seldon.containers import address_of
from sluice.seldon.read import WorldReader
from sluice.seldon.revision import (
    check_names,
    images_of,
    new_seldon_deployment,
    predictor_name,
    rendered,
    revision_of,
)
from sluice.seldon.write import SeldonWriter

log = structlog.get_logger()

# After a conflict: the watch brings the newer object within milliseconds. Seconds.
_AFTER_CONFLICT = 0.1


class Recorder(Protocol):
    """Where Kubernetes Events go."""

    def event(self, obj: Object, *, reason: str, message: str, warning: bool = False) -> None:
        """Record one, never raising."""
        ...


class Reconciler:
    """Reconciles one key at a time; safe to call from several threads for different keys."""

    def __init__(
        self,
        *,
        client: Client,
        clock: Clock,
        rollouts: OwnWrites,
        policies: Policies,
        reader: WorldReader,
        writer: SeldonWriter,
        judging: Judging,
        recorder: Recorder,
        metrics: OwnMetrics,
        status_interval: float,
        claims: Callable[[str, str], set[str]],
        gatekeeper: Gatekeeper | None = None,
        keeper: Keeper | None = None,
        aftercare: Aftercare | None = None,
        settle: float = 0.0,
        preflights: Preflights | None = None,
    ) -> None:
        self._settle = settle
        self._preflights = preflights
        self._gatekeeper = gatekeeper or Gatekeeper(rollouts, None)
        self._keeper = keeper
        self._aftercare = aftercare
        self._claims = claims
        self._client = client
        self._clock = clock
        self._rollouts = rollouts
        self._policies = policies
        self._reader = reader
        self._writer = writer
        self._judging = judging
        self._recorder = recorder
        self._metrics = metrics
        self._status_interval = status_interval
        self._written_at: dict[str, float] = {}

    def reconcile(self, key: str) -> float | None:
        """One pass. Returns in how many seconds to look again; None: when something changes.

        Raises ApiError for what a retry may mend.
        """
        namespace, _, name = key.partition("/")
        obj = self._rollouts.get(namespace, name)
        if obj is None or "deletionTimestamp" in obj["metadata"]:
            self._written_at.pop(key, None)
            self._policies.forget(key)
            self._gatekeeper.forget(key)
            if self._preflights:
                self._preflights.forget(key)
            if self._aftercare is not None:
                self._aftercare.forget(key)
            return None
        try:
            rollout = parse_rollout(obj)
            self._refuse_second_claim(obj, rollout)
            world = self._reader.read(namespace, rollout.deployment_name)
            if world.owned and rollout.spec.deletion_policy is DeletionPolicy.ORPHAN:
                # Whatever else is wrong with the rollout: deleting it must not take the model away.
                self._writer.disown(namespace, rollout.deployment_name, rollout.uid)
            policy, policy_name = self._policies.of(rollout)
            desired = desired_of(rollout)
            inputs = self._inputs(rollout, policy, policy_name, desired, world)
            inputs = self._with_kept(inputs)
            return self._act(obj, inputs, decide(inputs))
        except SpecError as error:
            self._stall(obj, error)
            return None
        except ForbiddenError as error:
            # Whoever rolls out may not read the controller's log. A retry follows all the same.
            if lacks_right(error):
                with suppress(ApiError):
                    self._stall(obj, SpecError("RightMissing", _without_right(error)))
            raise

    def _refuse_second_claim(self, obj: Object, rollout: Rollout) -> None:
        """Two rollouts for one SeldonDeployment would fight: the older one has it."""
        for other in self._claims(rollout.namespace, rollout.deployment_name) - {rollout.key}:
            rival = self._rollouts.get(*other.split("/", 1))
            if rival is not None and _seniority(rival) < _seniority(obj):
                raise SpecError(
                    "AlreadyClaimed",
                    f"the SeldonDeployment {rollout.deployment_name} belongs to ModelRollout "
                    f"{other}, which is older: give spec.seldonDeploymentName another name",
                )

    def _inputs(
        self,
        rollout: Rollout,
        policy: CanaryPolicySpec,
        policy_name: str,
        desired: Desired,
        world: World,
    ) -> Inputs:
        now = self._clock.now()
        comparison = comparison_of(
            rollout.key,
            rollout.deployment_name,
            rollout.namespace,
            rollout.uid,
            rollout.status,
            policy,
            now,
        )
        facts = self._gatekeeper.facts(rollout)
        if comparison is None:
            return Inputs(
                rollout,
                policy,
                policy_name,
                world,
                desired,
                now,
                elsewhere=facts.elsewhere,
                answers=facts.answers,
                settle=self._settle,
                preflight=self._preflight_facts(rollout),
            )
        judgement = self._judging.judgement(rollout.key, comparison.name)
        return Inputs(
            rollout,
            policy,
            policy_name,
            world,
            desired,
            now,
            checks=judgement.checks,
            metrics_problem=judgement.problem,
            counted=judgement.requests,
            checkpoint=self._judging.checkpoint(rollout.key, comparison.name),
            elsewhere=facts.elsewhere,
            answers=facts.answers,
            settle=self._settle,
        )

    def _preflight_facts(self, rollout: Rollout) -> PreflightFacts:
        return self._preflights.facts(rollout.key) if self._preflights else PreflightFacts()

    def _with_kept(self, inputs: Inputs) -> Inputs:
        """With the stable's kept template where the SeldonDeployment is gone and it is needed."""
        stable = inputs.rollout.status.stable
        if inputs.world.exists or stable is None or self._keeper is None:
            return inputs
        if stable.revision == inputs.desired.revision:
            return inputs
        template = self._keeper.template_of_stable(inputs.rollout)
        if template is None:
            return inputs
        return replace(inputs, kept=desired_of(inputs.rollout, template))

    def _act(self, obj: Object, inputs: Inputs, decision: Decision) -> float | None:
        rollout = inputs.rollout
        if decision.plan is not None:
            applied = self._writer.apply(
                rollout.namespace, rollout.deployment_name, decision.plan, inputs.world
            )
            if applied.conflict:
                return _AFTER_CONFLICT
            if applied.problem:
                self._recorder.event(
                    obj, reason="TrafficNotMoved", message=applied.problem, warning=True
                )
                self._metrics.not_moved.inc()
                log.warning("TrafficNotMoved", rollout=rollout.key, message=applied.problem)
            if applied.wrote_spec or applied.wrote_routes:
                log.info(
                    "traffic plan written",
                    rollout=rollout.key,
                    desired=decision.status.traffic.desired,
                    forced=applied.wrote_routes,
                )
        if self._aftercare is not None:
            decision = self._aftercare.follow(inputs, decision)
        self._count(rollout, decision)
        look_again = decision.look_again
        if self._due(rollout, decision.status):
            status = decision.status
            if self._keeper is not None:
                status = self._keeper.complete(obj, inputs, decision)
            try:
                self._write_status(obj, status)
            except NotFoundError:
                return None
            self._gatekeeper.written_down(rollout.key, status)
            if self._preflights:
                self._preflights.written_down(rollout.key, status.preflight)
            if self._keeper is not None:
                self._keeper.tell(inputs, decision)
            for note in decision.notes:
                # The reason is what one filters by; the message is different each time.
                log.info(note.reason, rollout=rollout.key, message=note.message)
                self._recorder.event(
                    obj, reason=note.reason, message=note.message, warning=note.warning
                )
        self._gatekeeper.ask(rollout.key, decision.questions)
        if self._preflights:
            self._preflights.ask(rollout.key, decision.preflight)
        return look_again

    def _count(self, rollout: Rollout, decision: Decision) -> None:
        for phase in decision.transitions:
            self._metrics.decisions.labels(rollout.namespace, phase).inc()
        moved = decision.status.traffic.verified_at
        if (
            rollout.status.phase is Phase.ROLLING_BACK
            and moved
            and rollout.status.traffic.verified_at is None
            and decision.status.rollback_reason == "HarmDetected"
        ):
            began = from_wire(rollout.status.phase_started_at)
            at = rollout.status.checkpoint.at if rollout.status.checkpoint else began
            if at is not None:
                self._metrics.breach_to_moved.observe(max(0.0, self._clock.now() - at))

    def _due(self, rollout: Rollout, status: RolloutStatus) -> bool:
        """Numbers alone are written once an interval; anything else at once."""
        if _essence(status) != _essence(rollout.status):
            return True
        if status.to_wire() == rollout.status.to_wire():
            return False
        now = self._clock.monotonic()
        if rollout.key not in self._written_at:
            # After a start: not every rollout at once, and what is urgent is written anyway.
            self._written_at[rollout.key] = now - spread(rollout.key) * self._status_interval
        return now - self._written_at[rollout.key] >= self._status_interval

    def _write_status(self, obj: Object, status: RolloutStatus) -> None:
        meta = obj["metadata"]
        body = {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "metadata": meta,
            "spec": obj["spec"],
            "status": status.to_wire(),
        }
        written = self._client.replace(MODEL_ROLLOUTS, body, subresource="status")
        self._rollouts.put(written)
        self._written_at[f"{meta['namespace']}/{meta['name']}"] = self._clock.monotonic()

    def _stall(self, obj: Object, error: SpecError) -> None:
        try:
            old = RolloutStatus.model_validate(obj.get("status") or {})
        except ValueError:
            old = RolloutStatus()
        status = stalled(
            old, obj["metadata"].get("generation", 0), error.reason, str(error), self._clock.now()
        )
        if status.to_wire() != old.to_wire():
            self._write_status(obj, status)
            self._recorder.event(obj, reason=error.reason, message=str(error), warning=True)
            if self._keeper is not None:
                self._keeper.tell_stalled(obj, error.reason, str(error), self._clock.now())
            key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
            log.warning("stalled", rollout=key, reason=error.reason, message=str(error))


def desired_of(rollout: Rollout, template: dict[str, Any] | None = None) -> Desired:
    """What a template asks for, the rollout's own by default.

    Raises SpecError for what Seldon could not make of it.
    """
    template = rollout.raw_template if template is None else template
    source = template["spec"]["predictors"][0]
    check_names(template, rollout.deployment_name, rollout.namespace)
    revision = revision_of(source, template.get("metadata") or {})
    name = predictor_name(revision)
    replicas = source.get("replicas")
    predictor = rendered(template, name=name, replicas=replicas)
    create = new_seldon_deployment(
        template,
        name=rollout.deployment_name,
        namespace=rollout.namespace,
        predictor=predictor,
        owner=_owner(rollout),
    )
    return Desired(
        revision=revision,
        predictor_name=name,
        images=images_of(source),
        predictor=predictor,
        create=create,
        replicas=replicas,
        preview=address_of(rollout.deployment_name, rollout.namespace, predictor),
    )


def _without_right(error: ForbiddenError) -> str:
    return (
        f"the controller's role lacks a right: {error}. `sluice doctor` names the role; the "
        "rollout goes on by itself once it has the right"
    )


def _seniority(obj: Object) -> tuple[str, str]:
    meta = obj["metadata"]
    return meta.get("creationTimestamp", ""), meta["name"]


def _owner(rollout: Rollout) -> dict[str, Any] | None:
    if rollout.spec.deletion_policy is DeletionPolicy.ORPHAN:
        return None
    return {
        "apiVersion": MODEL_ROLLOUTS.api_version,
        "kind": MODEL_ROLLOUTS.kind,
        "name": rollout.name,
        "uid": rollout.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _essence(status: RolloutStatus) -> dict[str, Any]:
    """The status without what changes with every look: numbers, and sentences made of them."""
    wire = status.to_wire()
    for volatile in ("checkpoint", "message", "monitoring"):
        wire.pop(volatile, None)
    wire["checks"] = [
        {"name": c["name"], "verdict": c["verdict"], "reason": c.get("reason")}
        for c in wire.get("checks", [])
    ]
    for condition in wire.get("conditions", []):
        condition.pop("message", None)
    for name in ("freeze", "pause"):
        if name in wire:
            wire[name] = {k: v for k, v in wire[name].items() if k != "message"}
    wire.pop("history", None)
    wire["monitored"] = essence(status.monitoring)
    wire["historyLength"] = len(status.history)
    observed = status.traffic.observed
    if status.traffic.verified_at is None and observed is not None:
        wire["traffic"].pop("observed", None)
    return wire
