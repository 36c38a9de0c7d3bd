"""Whatever happens, in whatever order: no promotion without Pass, sums of 100, no leftovers."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sluice.api.status import Phase, Verdict
from sluice.engine.commands import Command

from .small_cluster import SmallCluster

REVISIONS = ("aaaa", "bbbb", "cccc")


class AnyLife(RuleBasedStateMachine):
    """Random events against the decision; `forced` is what a person promoted by command."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = SmallCluster().started()
        self.forced: set[str] = set()

    def _pass(self) -> None:
        """Who decides to promote does it on Pass at the last step, or by a person's command."""
        cluster = self.cluster
        before = cluster.status
        cluster.settle()
        cluster.step()
        after = cluster.status
        if before.phase.judged and any(c.verdict is Verdict.HARM for c in cluster.checks):
            assert not after.phase.judged, f"harm was seen and the phase is {after.phase}"
        entered = "Promoting" in cluster.decisions[-1].transitions
        if entered and before.candidate is not None:
            passed = bool(cluster.checks) and all(c.verdict is Verdict.PASS for c in cluster.checks)
            by_command = after.last_command is not None and after.last_command.command.startswith(
                "promote"
            )
            assert (passed and not cluster.metrics_problem) or by_command

    @rule(seconds=st.sampled_from([0.1, 1, 5, 11, 31, 61]))
    def time_passes(self, seconds: float) -> None:
        self.cluster.now += seconds
        self._pass()

    @rule(kind=st.sampled_from([*Verdict, None]))
    def metrics_say(self, kind: Verdict | None) -> None:
        if kind is None:
            self.cluster.checks = ()
        else:
            self.cluster.say(kind)
        self._pass()

    @rule(down=st.booleans())
    def metrics_go(self, down: bool) -> None:
        self.cluster.metrics_problem = "refused" if down else ""
        self._pass()

    @rule(revision=st.sampled_from(REVISIONS))
    def template_changes(self, revision: str) -> None:
        self.cluster.template = revision
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

    @invariant()
    def at_most_one_candidate(self) -> None:
        assert len(self.cluster.predictors) <= 2


AnyLife.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestAnyLife = AnyLife.TestCase
