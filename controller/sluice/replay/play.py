"""One policy over a recording: the pulse loop's judging, the engine's decisions, no cluster.

As in the controller, a pass of the engine is made when a verdict changes, when the engine asked to
look again, and when numbers alone are due. What the policy asks of the traffic cannot be done any
more: the gateway is taken to follow at once, and the evidence comes at whatever shares there were.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import CheckStatus, Phase, RolloutStatus
from sluice.engine.inputs import Decision
from sluice.evidence.spec import answer_plans_of
from sluice.loops.answers import AnswerJudging
from sluice.loops.judging import Comparison, Judging, comparison_of
from sluice.metrics.answer_queries import wants_of
from sluice.metrics.answers import AnswerObserver
from sluice.metrics.observe import Observer
from sluice.replay.recording import Answers, Recording
from sluice.replay.traffic import KEY, Sides
from sluice.simulation.cohort import STATUS_INTERVAL, Run, begun
from sluice.simulation.serving import serving_only
from sluice.simulation.small_world import CANDIDATE, at_rest


@dataclass(frozen=True)
class Look:
    """One pulse and what stood after it. `seconds` from the first step; `weight` in percent."""

    index: int
    seconds: float
    phase: Phase
    step: str
    weight: int
    problem: str
    checks: tuple[CheckStatus, ...]


@dataclass(frozen=True)
class Happening:
    """Something the controller would have recorded as an Event."""

    seconds: float
    reason: str
    message: str


@dataclass
class Recorded(Run):
    """A rollout that keeps what it would have told."""

    happenings: list[Happening] = field(default_factory=list)
    decided_by: tuple[CheckStatus, ...] = ()

    def told(self, now: float, decision: Decision) -> None:
        """Keep the notes of the rollout itself, and the numbers it was decided by."""
        if {Phase.PROMOTING.value, Phase.ROLLING_BACK.value} & set(decision.transitions):
            self.decided_by = self.checks
        for note in decision.notes:
            if note.reason not in ("RolloutStarted", "CandidateReady"):
                self.happenings.append(Happening(now, note.reason, note.message))


@dataclass(frozen=True)
class Played:
    """What became of it. `begin` and `decided` are moments of the recording; `seconds` may be NaN.

    `baked` are seconds of the bake that the recording has, None without a promotion. `left_out`
    are checks of answers, where the recording has none of the model kit's counters.
    """

    name: str
    policy: CanaryPolicySpec
    begin: int
    end: int
    status: RolloutStatus
    outcome: str
    seconds: float
    reason: str
    message: str
    baked: float | None
    checks: tuple[CheckStatus, ...]
    looks: list[Look]
    happenings: list[Happening]
    left_out: tuple[str, ...] = ()

    @property
    def decided(self) -> int | None:
        """The moment of the decision: the first pulse not before it."""
        if math.isnan(self.seconds):
            return None
        return next((k.index for k in self.looks if k.seconds >= self.seconds - 1e-3), self.end)

    @property
    def bake_complete(self) -> bool:
        """The rollout was promoted, and the recording reaches to the end of its bake."""
        return self.outcome == "promoted" and self.status.phase is Phase.IDLE


def play(
    recording: Recording,
    sides: Sides,
    name: str,
    policy: CanaryPolicySpec,
    begin: int,
    end: int,
    tell: Callable[[int], None] = lambda _moments: None,
) -> Played:
    """What the policy would have decided from moment `begin` to `end`.

    `tell` hears of every moment that was played. Raises UsageError where the policy has checks of
    answers alone, and the recording no answers.
    """
    left_out: tuple[str, ...] = ()
    if not recording.has_answers:
        policy, left_out = serving_only(policy)
    player = _Player(recording, sides, policy, begin)
    for index in range(begin, end + 1):
        player.pulse(index)
        tell(1)
        if player.run.ended:
            break
    return replace(player.result(name, end), left_out=left_out)


def asks_answers(policy: CanaryPolicySpec) -> bool:
    """The policy has checks of what a model answers."""
    return any(check.metric.of_answers for check in policy.checks)


class _Player:
    def __init__(
        self, recording: Recording, sides: Sides, policy: CanaryPolicySpec, begin: int
    ) -> None:
        self._recording, self._sides = recording, sides
        self._policy, self._begin = policy, begin
        wants = wants_of(answer_plans_of(policy))
        answers = Answers(recording, sides.targets, wants)
        observer = Observer(answers, recording.dialect, interval=recording.step)
        said = AnswerObserver(answers, recording.labels, interval=recording.step)
        self._judging = Judging(observer, AnswerJudging(said))
        self._comparison: Comparison | None = None
        self._looks: list[Look] = []
        run = Recorded("", at_rest(), epoch=recording.time(begin))
        self.run = begun(run, policy)

    def pulse(self, index: int) -> None:
        """What the engine had asked for until now, then one pulse."""
        now = self._recording.time(index)
        seconds = now - self.run.epoch
        while self.run.due < seconds and not self.run.ended:
            self._pass(max(self.run.due, self.run.looked))
        if self.run.ended:
            self._look(index, seconds)
            return
        self._follow(now)
        changed, _ = self._judging.pulse(now)
        due = seconds - self.run.looked >= STATUS_INTERVAL or self.run.due <= seconds
        if changed or due:
            self._pass(seconds)
        self._look(index, seconds)

    def _follow(self, now: float) -> None:
        asked = comparison_of(
            KEY,
            self._sides.deployment,
            self._sides.namespace,
            KEY,
            self.run.status,
            self._policy,
            now,
        )
        if asked is not None:
            asked = replace(asked, pair=self._sides.pair)
        self._judging.follow([asked] if asked is not None else [], now)
        self._comparison = asked

    def _pass(self, seconds: float) -> None:
        self.run.checks, problem = self._judged()
        self.run.settle(self._policy, seconds, problem)

    def _judged(self) -> tuple[tuple[CheckStatus, ...], str]:
        if self._comparison is None:
            return (), ""
        found = self._judging.judgement(KEY, self._comparison.name)
        return found.checks, found.problem

    def _look(self, index: int, seconds: float) -> None:
        checks, problem = self._judged()
        status, run = self.run.status, self.run
        step = status.step.progress if status.step is not None else ""
        weight = dict(run.weights).get(CANDIDATE, 0)
        if run.rolled_back:
            weight = 0
        elif run.ended:
            weight = 100
        self._looks.append(Look(index, seconds, status.phase, step, weight, problem, checks))

    def result(self, name: str, end: int) -> Played:
        """The end of it."""
        run, status = self.run, self.run.status
        last = self._looks[-1]
        baked = None
        if run.rolled_back:
            outcome, seconds = "rolledBack", run.rollback_at
            reason, message = status.rollback_reason or "RollingBack", status.message
        elif run.promoted:
            outcome, seconds = "promoted", run.promoting_at
            reason, message = "AllChecksPassed", "every check says Pass"
        else:
            outcome, seconds = "undecided", math.nan
            reason, message = "RecordingEnded", status.message
            if status.pause is not None:
                reason, message = status.pause.reason, status.pause.message
        if not math.isnan(run.promoting_at):
            baked = min(last.seconds - run.promoting_at, self._policy.bake)
        checks = run.decided_by if outcome != "undecided" else last.checks
        return Played(
            name,
            self._policy,
            self._begin,
            end,
            status,
            outcome,
            seconds,
            reason,
            message,
            baked,
            checks,
            self._looks,
            run.happenings,
        )
