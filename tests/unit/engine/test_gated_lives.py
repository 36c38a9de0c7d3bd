"""Nothing starts, steps up or is promoted through a closed gate; no gate holds a rollback."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from sluice.api.status import Phase, RolloutStatus
from sluice.engine.facts import Elsewhere

from .test_safety import REVISIONS, AnyLife

IMAGES = {revision: (f"repo/m:v{revision}",) for revision in REVISIONS}
# Open and closed at any time of the week: the clock of these tests moves by seconds.
ALWAYS: dict[str, Any] = {"windows": [{}]}
NEVER: dict[str, Any] = {"windows": [{"timeZone": "Europe/Atlantis"}]}
HOOKS: dict[str, Any] = {
    "webhooks": [
        {"name": name, "at": at, "url": "https://gate.test", "interval": "10s", "onFailure": fail}
        for name, at, fail in (
            ("start", "BeforeStart", "Hold"),
            ("step", "BeforeStep", "RollBack"),
            ("promotion", "BeforePromotion", "Hold"),
            ("end", "AfterEnd", "Hold"),
        )
    ]
}
STAGE: dict[str, Any] = {"promotedIn": [{"namespace": "stage", "name": "iris"}]}


class AnyGatedLife(AnyLife):
    """The same with gates that open and close, and webhooks that say yes, no, or nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster.gates = HOOKS
        self.said_yes: set[str | None] = set()
        self.used: set[str | None] = set()

    @rule(gates=st.sampled_from([{}, ALWAYS, NEVER, STAGE, HOOKS, {**NEVER, **HOOKS}]))
    def gates_change(self, gates: dict[str, Any]) -> None:
        self.cluster.gates = gates
        self._pass()

    @rule(revision=st.sampled_from([*REVISIONS, None]), phase=st.sampled_from(["Idle", "Baking"]))
    def the_other_rollout_moves(self, revision: str | None, phase: str) -> None:
        self.cluster.elsewhere.clear()
        if revision is not None:
            self.cluster.elsewhere["stage/iris"] = Elsewhere(
                phase=phase, images=IMAGES[revision], serving=True
            )
        self._pass()

    @rule(allowed=st.booleans(), answered=st.booleans())
    def webhooks_answer(self, allowed: bool, answered: bool) -> None:
        for name, question in self.cluster.asked().items():
            self.cluster.reply(name, allowed and answered, answered=answered)
            if allowed and answered:
                self.said_yes.add(question.id)
        self._pass()

    @rule(revisions=st.sampled_from([0, 2]))
    def the_rollback_window_changes(self, revisions: int) -> None:
        self.cluster.rollback_revisions = revisions
        self._pass()

    @rule()
    def a_good_moment(self) -> None:
        """What a healthy rollout sees, so that the far end of its life is reached often."""
        self._good_moment()

    def _healthy(self) -> None:
        super()._healthy()
        self._say_yes()

    def _say_yes(self) -> None:
        for name, question in self.cluster.asked().items():
            self.cluster.reply(name, True)
            self.said_yes.add(question.id)

    @rule()
    def the_controller_restarts(self) -> None:
        self.cluster.answers.clear()
        self._pass()

    def _pass(self) -> None:
        cluster, before = self.cluster, self.cluster.status
        super()._pass()
        after, transitions = cluster.status, cluster.decisions[-1].transitions
        self._no_way_through_a_closed_gate(before, after, transitions)
        if before.phase is Phase.ROLLING_BACK and not (cluster.frozen() or cluster.slow):
            routes = cluster.routes or {}
            assert after.stable is not None
            assert routes.get(after.stable.predictor) == 100, "a rollback was held"

    def _no_way_through_a_closed_gate(
        self, before: RolloutStatus, after: RolloutStatus, transitions: tuple[str, ...]
    ) -> None:
        old, new = before.step, after.step
        # After a shadow it prepares once more, on its way from one to the other: no second start.
        under_way = before.phase in (Phase.SHADOWING, Phase.PREVIEWING)
        started, promoted = "Preparing" in transitions and not under_way, "Promoting" in transitions
        stepped = after.phase is Phase.STEPPING and new is not None
        stepped = stepped and (old is None or (new is not None and new.index > old.index))
        if not (started or stepped or promoted) or after.returning:
            return
        gates, told = self.cluster.gates, self.cluster.elsewhere.get("stage/iris")
        assert gates.get("windows") != NEVER["windows"]
        if started and "promotedIn" in gates and after.candidate is not None:
            assert told is not None
            assert (told.phase, list(told.images)) == ("Idle", after.candidate.images)
        if "webhooks" in gates:
            moment = "start" if started else "step" if stepped else "promotion"
            gate = next(g for g in before.gates if g.name == moment)
            assert gate.state == "Open", "a yes is written down before it is acted on"
            assert gate.question in self.said_yes
            assert gate.question not in self.used, "one yes, one step"
            self.used.add(gate.question)


AnyGatedLife.TestCase.settings = settings(
    AnyLife.TestCase.settings, max_examples=200, stateful_step_count=60
)
TestAnyGatedLife = AnyGatedLife.TestCase
