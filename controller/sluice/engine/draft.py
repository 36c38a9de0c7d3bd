"""The status while one decision is being made: changed in place here, and nowhere else."""

from __future__ import annotations

from typing import Any

from sluice.api.preflight import PreflightStatus
from sluice.api.status import HistoryEntry, PauseStatus, Phase, Revision, RolloutStatus
from sluice.api.times import from_wire, to_wire
from sluice.engine.facts import Question
from sluice.engine.inputs import Decision, Inputs, Note
from sluice.engine.plan import Plan, PlannedPredictor
from sluice.engine.preflight_facts import PreflightWish
from sluice.engine.trace import as_remembered, traced, without_old_decisions


class Draft:
    """Collects the new status, the plan and the notes of one pass."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.status: RolloutStatus = inputs.rollout.status
        self.plan: Plan | None = None
        self.notes: list[Note] = []
        self.transitions: list[str] = []
        self.questions: list[Question] = []
        self.preflight: PreflightWish | None = None
        self.ended: HistoryEntry | None = None
        self._look_again: float | None = None

    @property
    def now(self) -> float:
        """Unix seconds of this pass."""
        return self.inputs.now

    def set(self, **changes: Any) -> None:
        """Change fields of the status."""
        self.status = self.status.model_copy(update=changes)

    def note(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an Event, and the decision it tells of."""
        self.notes.append(Note(reason, message, warning))
        self.set(decisions=traced(self.status, reason, message, self.now))

    def look_again_in(self, seconds: float) -> None:
        """Ask for another pass; the soonest request wins."""
        wanted = max(0.05, seconds)
        self._look_again = wanted if self._look_again is None else min(self._look_again, wanted)

    def enter(self, phase: Phase, message: str, **changes: Any) -> None:
        """Go to another phase."""
        self.transitions.append(phase.value)
        self.set(phase=phase, message=message, phase_started_at=to_wire(self.now), **changes)

    def in_phase_for(self) -> float:
        """Seconds since the phase began."""
        started = from_wire(self.status.phase_started_at)
        return 0.0 if started is None else self.now - started

    def split(
        self, candidate_weight: int, *, shadow: int | None = None, replicas: int | None = None
    ) -> None:
        """Plan stable and candidate side by side; `shadow` percent copied to it instead.

        `replicas` are the candidate's; None: the template's.
        """
        stable, candidate = self.stable(), self.candidate()
        desired = self.inputs.desired
        live = self.inputs.world.predictor(candidate.predictor)
        is_desired = candidate.revision == desired.revision
        self.plan = Plan(
            (
                PlannedPredictor(stable.predictor, 100 - candidate_weight),
                PlannedPredictor(
                    candidate.predictor,
                    candidate_weight,
                    template=desired.predictor if live is None and is_desired else None,
                    replicas=replicas or (desired.replicas if is_desired else None),
                    shadow=shadow,
                ),
            ),
            drop=self._own_shadows(besides=candidate.predictor),
        )
        self.set(
            traffic=self.status.traffic.model_copy(
                update={"desired": {p.name: p.weight for p in self.plan.predictors}}
            )
        )

    def only(self, name: str, *, replicas: int | None = None, force: bool = False) -> None:
        """Plan one predictor with all the traffic."""
        desired = self.inputs.desired
        # One that replaces a stable which never served is not live yet.
        missing = self.inputs.world.predictor(name) is None and name == desired.predictor_name
        template = desired.predictor if missing else None
        planned = PlannedPredictor(name, 100, template=template, replicas=replicas)
        drop = self._own_shadows(besides=name)
        self.plan = Plan((planned,), force_routes=force, drop=drop)
        self.set(traffic=self.status.traffic.model_copy(update={"desired": {name: 100}}))

    def _own_shadows(self, *, besides: str) -> tuple[str, ...]:
        """Shadows of ours that are not wanted any more, those of a lost status included."""
        candidate = self.status.candidate.predictor if self.status.candidate else None
        return tuple(
            p.name
            for p in self.inputs.world.predictors
            if p.shadow and p.name != besides and (p.ours or p.name == candidate)
        )

    def stable(self) -> Revision:
        """The stable revision; there is one in every phase that asks."""
        if self.status.stable is None:
            raise AssertionError("no stable revision in this phase")
        return self.status.stable

    def candidate(self) -> Revision:
        """The candidate; there is one in every active phase."""
        if self.status.candidate is None:
            raise AssertionError("no candidate in this phase")
        return self.status.candidate

    def hold(self, reason: str, message: str) -> None:
        """Pause: no progress until resumed. Harm still rolls back."""
        if self.status.pause is None:
            self.note(reason, message, warning=reason not in ("Requested", "PauseStep"))
            self.set(pause=PauseStatus(reason=reason, message=message, since=to_wire(self.now)))

    def remember(self, outcome: str, reason: str, message: str) -> None:
        """Append the ended rollout to the history, newest first."""
        candidate = self.status.candidate or self.stable()
        last = self.status.history[0].number if self.status.history else None
        entry = HistoryEntry(
            number=(last or len(self.status.history)) + 1,
            revision=candidate.revision,
            predictor=candidate.predictor,
            images=candidate.images,
            outcome=outcome,
            reason=reason,
            message=message,
            started_at=self.status.started_at,
            ended_at=to_wire(self.now),
            source=self._source_of(candidate),
            checks=self.status.checks,
            replaced=self.status.stable.revision if self.status.stable else None,
            digests=candidate.digests,
            changed_by=self.status.changed_by,
            change_cause=self.status.change_cause,
            decisions=as_remembered(self.status.decisions),
            preflight=self._preflight_of(candidate),
        )
        self.ended = entry
        limit = self.inputs.rollout.spec.revision_history_limit
        history = without_old_decisions([entry, *self.status.history])
        self.set(history=history[:limit], decisions=[])

    def _source_of(self, candidate: Revision) -> dict[str, str]:
        """Where it comes from. Of a superseded one the spec does not tell any more."""
        if candidate.revision == self.inputs.desired.revision:
            return self.inputs.rollout.spec.source
        return candidate.source

    def _preflight_of(self, candidate: Revision) -> PreflightStatus | None:
        found = self.status.preflight
        return found if found is not None and found.revision == candidate.revision else None

    def decision(self) -> Decision:
        """What was collected."""
        return Decision(
            status=self.status,
            plan=self.plan,
            notes=tuple(self.notes),
            look_again=self._look_again,
            transitions=tuple(self.transitions),
            questions=tuple(self.questions),
            preflight=self.preflight,
        )
