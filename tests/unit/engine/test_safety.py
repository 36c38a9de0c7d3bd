"""Whatever happens, in whatever order: no promotion without evidence, sums of 100, no leftovers.

No traffic before a preflight that is asked for has passed.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sluice.api.preflight import PreflightState
from sluice.api.status import CheckStatus, Phase, RolloutStatus, Verdict
from sluice.engine.commands import Command

from .small_cluster import SmallCluster

REVISIONS = ("aaaa", "bbbb", "cccc")
SHADOW = {"percent": 50, "hold": "5s"}
REQUESTS = {"configMap": {"name": "iris-preflight"}}
ANSWERS = (
    PreflightState.PASSED,
    PreflightState.FAILED,
    PreflightState.BLOCKED,
    PreflightState.UNDECIDED,
)
WITH_TRAFFIC = (
    Phase.SHADOWING,
    Phase.PREVIEWING,
    Phase.STEPPING,
    Phase.PROMOTING,
)
STRATEGIES: tuple[dict[str, Any], ...] = (
    {"canary": {}},
    {"canary": {"shadow": SHADOW}},
    {"canary": {"candidateReplicas": {"mode": "InStep"}}},
    {"blueGreen": {}},
    {"blueGreen": {"shadow": SHADOW, "keepBlueFor": "1m"}},
    {"blueGreen": {"autoSwitch": False}},
)


class AnyLife(RuleBasedStateMachine):
    """Random events against the decision."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = SmallCluster(replicas=10).started()
        self.obeyed: str | None = None
        self.by_hand = False
        """A person has asked for the promotion of this candidate."""

    @initialize(strategy=st.sampled_from(STRATEGIES))
    def begin(self, strategy: dict[str, Any]) -> None:
        self.cluster.strategy = strategy

    def _pass(self) -> None:
        cluster = self.cluster
        before, before_routes = cluster.status, dict(cluster.routes or {})
        cluster.now += 0.001  # two passes are never at the same moment
        cluster.settle()
        judged = cluster.inputs().checks
        cluster.step()
        after = cluster.status
        self._note_command(after)
        if "Preparing" in cluster.decisions[-1].transitions and after.returning:
            assert before.returning or cluster.rollback_revisions, "back without a window"
        if before.phase.judged and any(c.verdict is Verdict.HARM for c in judged):
            assert not after.phase.judged, f"harm was seen and the phase is {after.phase}"
        if "Promoting" in cluster.decisions[-1].transitions and before.candidate is not None:
            self._may_promote(before, judged)
        if len(after.history) > len(before.history) and after.history[0].outcome == "Promoted":
            self._says_the_truth(after, judged)
        if before.candidate and after.phase in (Phase.SHADOWING, Phase.PREVIEWING):
            assert before_routes.get(before.candidate.predictor, 0) == 0
        if cluster.preflight and before.phase is Phase.PREPARING and after.phase in WITH_TRAFFIC:
            asked = after.preflight
            passed = asked is not None and asked.state in (
                PreflightState.PASSED,
                PreflightState.SKIPPED,
            )
            assert passed or after.returning, "traffic before the answers were compared"
            if asked is not None and asked.state is PreflightState.SKIPPED:
                assert self.by_hand
        if after.candidate is None:
            self.by_hand = False

    def _note_command(self, after: RolloutStatus) -> None:
        last = after.last_command
        if last is not None and last.id != self.obeyed:
            self.obeyed = last.id
            self.by_hand |= last.accepted and last.command.startswith("promote")

    def _may_promote(self, before: RolloutStatus, judged: tuple[CheckStatus, ...]) -> None:
        """On Pass; blue-green without a shadow on a known past; by a person's command; back."""
        cluster = self.cluster
        if self.by_hand or before.returning:
            return  # what was the stable lately needs no steps, and is judged while it bakes
        assert not cluster.metrics_problem
        assert judged
        asked = cluster.strategy.get("blueGreen")
        if before.phase is not Phase.PREVIEWING or (asked and "shadow" in asked and before.shadow):
            assert all(c.verdict is Verdict.PASS for c in judged)
        if before.phase is Phase.PREVIEWING:
            assert asked is not None
            assert asked.get("autoSwitch", True)
            assert all(c.stable_left == 0 for c in judged)

    def _says_the_truth(self, after: RolloutStatus, judged: tuple[CheckStatus, ...]) -> None:
        reason = after.history[0].reason
        if reason == "BakedWithoutHarm":
            assert judged
            assert not self.cluster.metrics_problem
            assert all(c.verdict in (Verdict.PASS, Verdict.UNDECIDED) for c in judged)
            assert all(c.candidate_samples > 0 for c in judged)
        elif reason == "PromotedByCommand":
            assert self.by_hand
        elif reason == "ReturnedToStable":
            assert judged
            assert all(c.verdict not in (Verdict.NO_DATA, Verdict.ERROR) for c in judged)
        elif "blueGreen" in self.cluster.strategy:
            assert reason == "AllChecksPassed"
            assert judged
            assert all(c.verdict is Verdict.PASS for c in judged)

    @rule(seconds=st.sampled_from([0.1, 1, 5, 11, 31, 61]))
    def time_passes(self, seconds: float) -> None:
        self.cluster.now += seconds
        self._pass()

    @rule(kind=st.sampled_from([*Verdict, None]), left=st.sampled_from([0, 0, 7, None]))
    def metrics_say(self, kind: Verdict | None, left: int | None) -> None:
        self.cluster.stable_left = left
        if kind is None:
            self.cluster.checks = ()
        else:
            self.cluster.say(kind, samples=0 if kind is Verdict.NO_DATA else 100)
        self._pass()

    @rule(
        seconds=st.sampled_from([10, 40, 90]),
        kind=st.sampled_from([Verdict.PASS, Verdict.UNDECIDED]),
    )
    def all_is_well(self, seconds: float, kind: Verdict) -> None:
        """Without this, random events hardly ever get to the end of a rollout."""
        self.cluster.stable_left, self.cluster.metrics_problem = 0, ""
        self.cluster.slow = self.cluster.paused = False
        self.cluster.unready.clear()
        self.cluster.half_ready.clear()
        self.cluster.say(kind)
        for _ in range(10):
            if self.cluster.wish() is not None:
                self.cluster.compare(PreflightState.PASSED)
            self.cluster.now += seconds / 10
            self._pass()

    @rule(revision=st.sampled_from(REVISIONS), moments=st.integers(0, 8))
    def a_rollout_gets_so_far(self, revision: str, moments: int) -> None:
        """Without this most of a random life is spent at rest."""
        self._begin(revision)
        for _ in range(moments):
            self._good_moment()

    def _begin(self, revision: str) -> None:
        stable = self.cluster.status.stable
        if stable is not None and stable.revision == revision:
            revision = REVISIONS[(REVISIONS.index(revision) + 1) % len(REVISIONS)]
        self.cluster.template = revision
        self._pass()

    def _healthy(self) -> None:
        self.cluster.metrics_problem, self.cluster.paused, self.cluster.slow = "", False, False
        self.cluster.unready.clear()
        self.cluster.half_ready.clear()
        self.cluster.stable_left = 0
        self.cluster.say(Verdict.PASS)

    def _good_moment(self) -> None:
        self._healthy()
        if self.cluster.wish() is not None:
            self.cluster.compare(PreflightState.PASSED)
        for seconds in (6, 6, 1):
            self.cluster.now += seconds
            self._pass()

    @rule(down=st.booleans())
    def metrics_go(self, down: bool) -> None:
        self.cluster.metrics_problem = "refused" if down else ""
        self._pass()

    @rule(revision=st.sampled_from(REVISIONS))
    def template_changes(self, revision: str) -> None:
        self.cluster.template = revision
        self._pass()

    @rule(strategy=st.sampled_from(STRATEGIES))
    def strategy_changes(self, strategy: dict[str, Any]) -> None:
        self.cluster.strategy = strategy
        self._pass()

    @rule(asked=st.sampled_from([None, 0.9, 0.99]))
    def a_preflight_is_asked_for(self, asked: float | None) -> None:
        self.cluster.preflight = asked and {"requests": REQUESTS, "agreement": asked}
        self._pass()

    @rule(state=st.sampled_from(ANSWERS), revision=st.sampled_from(REVISIONS))
    def the_preflight_says(self, state: PreflightState, revision: str) -> None:
        """In Preparing; a rollout begins if there is none."""
        if self.cluster.status.candidate is None:
            self.cluster.preflight = {"requests": REQUESTS}
            self._begin(revision)
        for _ in range(4):
            if self.cluster.wish() is not None:
                self.cluster.compare(state)
                break
            self._healthy()
            self.cluster.now += 6
            self._pass()
        self._pass()

    @rule(command=st.sampled_from(list(Command)))
    def someone_commands(self, command: Command) -> None:
        self.cluster.command(command)
        self._pass()

    @rule(revision=st.sampled_from(REVISIONS), how=st.sampled_from(["whole", "half", "none"]))
    def pods_come_and_go(self, revision: str, how: str) -> None:
        name = f"v{revision}"
        self.cluster.unready.discard(name)
        self.cluster.half_ready.discard(name)
        if how == "none":
            self.cluster.unready.add(name)
        elif how == "half":
            self.cluster.half_ready.add(name)
        self._pass()

    @rule(slow=st.booleans())
    def operator_is_slow(self, slow: bool) -> None:
        self.cluster.slow = slow
        self._pass()

    @rule(paused=st.booleans())
    def spec_paused(self, paused: bool) -> None:
        self.cluster.paused = paused
        self._pass()

    @invariant()
    def weights_sum_to_100(self) -> None:
        assert sum(self.cluster.predictors.values()) == 100
        assert sum((self.cluster.routes or {"x": 100}).values()) == 100

    @invariant()
    def a_rolled_back_candidate_is_gone(self) -> None:
        status = self.cluster.status
        if status.phase is Phase.ROLLED_BACK:
            assert status.candidate is None
            assert status.stable is not None
            assert set(self.cluster.predictors) == {status.stable.predictor}
            assert self.cluster.mirrors == {}

    @invariant()
    def no_user_is_sent_to_a_shadow_or_to_pods_that_change_their_form(self) -> None:
        cluster = self.cluster
        for name, share in (cluster.routes or {}).items():
            if share:
                assert name not in cluster.shadows
                assert name not in cluster.rolling
                assert not cluster.made.get(name, False)

    @invariant()
    def at_most_one_candidate(self) -> None:
        assert len(self.cluster.predictors) <= 2


AnyLife.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow],
)
TestAnyLife = AnyLife.TestCase
