"""Many runs of one rollout: the traffic of all drawn together, each decided by the engine.

As in the controller, the evidence moves on at every scrape, in one vectorised update, and a pass of
`decide` is made when a verdict changes, when the engine asked to look again, or when numbers alone
are due to be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import CheckStatus, Phase, RolloutStatus
from sluice.api.times import from_wire
from sluice.engine.decide import decide
from sluice.engine.inputs import Decision, Inputs
from sluice.evidence import EDGES, EvidenceBank, Increment, judge, plans_of
from sluice.simulation.answer_cohort import answer_cohort
from sluice.simulation.scenario import Scenario
from sluice.simulation.small_world import (
    DESIRED,
    EPOCH,
    STABLE,
    Weights,
    at_rest,
    rollout_with,
    share_of,
    weights_of,
    world_of,
)
from sluice.simulation.traffic import ABOVE, COLUMNS, Interval, K, N, draw, history, intervals

STATUS_INTERVAL = 60.0
"""How often numbers alone lead to a pass (the controller's default), seconds."""
OUTAGE = "the metrics are out in this scenario"
_MOST_PASSES = 100  # at one moment; more would be an engine that turns in circles

Bools = NDArray[np.bool_]
R = TypeVar("R", bound="Run")


@dataclass
class Run:
    """One rollout. Times in seconds from the first step; NaN: it did not happen.

    `epoch` is when the first step begins, Unix seconds.
    """

    key: str
    status: RolloutStatus
    weights: Weights = ((STABLE, 100),)
    checks: tuple[CheckStatus, ...] = ()
    due: float = math.inf
    looked: float = 0.0
    ended: bool = False
    promoting_at: float = math.nan
    rollback_at: float = math.nan
    served: list[float] = field(default_factory=lambda: [0.0, 0.0])
    at_promotion: list[float] = field(default_factory=lambda: [0.0, 0.0])
    epoch: float = EPOCH

    @property
    def rolled_back(self) -> bool:
        """The engine took the candidate out."""
        return not math.isnan(self.rollback_at)

    @property
    def promoted(self) -> bool:
        """All traffic went to the candidate and stayed there."""
        return not math.isnan(self.promoting_at) and not self.rolled_back

    @property
    def until_decided(self) -> list[float]:
        """The candidate's requests and bad requests until its rollback, else until promotion."""
        return self.at_promotion if self.promoted else self.served

    def look(self, policy: CanaryPolicySpec, now: float, problem: str) -> None:
        """One pass of the engine, and Seldon's answer to it."""
        judged = self.status.phase.judged
        decision = decide(
            Inputs(
                rollout_with(self.status),
                policy,
                "simulated",
                world_of(self.weights),
                DESIRED,
                self.epoch + now,
                checks=self.checks if judged else (),
                metrics_problem=problem if judged else "",
            )
        )
        self.told(now, decision)
        self.status = decision.status
        self.looked = now
        self.due = math.inf if decision.look_again is None else now + decision.look_again
        step, pause = self.status.step, self.status.pause
        if step is not None and pause is not None and pause.reason == "PauseStep":
            # The person a manual step waits for is there: what they would decide is not simulated.
            released = step.model_copy(update={"released": True})
            self.status = self.status.model_copy(update={"pause": None, "step": released})
            self.due = now
        if decision.plan is not None and (asked := weights_of(decision.plan)) != self.weights:
            # Seldon writes the routes, the watch tells of it: look again at once.
            self.weights, self.due = asked, now
        if Phase.PROMOTING.value in decision.transitions:
            self.promoting_at, self.at_promotion = now, list(self.served)
        if Phase.ROLLING_BACK.value in decision.transitions:
            self.rollback_at = now
        self.ended = self.rolled_back or self.status.phase is Phase.IDLE

    def told(self, now: float, decision: Decision) -> None:
        """Called with every decision before it is taken over; nothing is kept of it here."""

    def settle(self, policy: CanaryPolicySpec, now: float, problem: str) -> None:
        """Look, and again for as long as the engine asks to at this very moment."""
        for _ in range(_MOST_PASSES):
            self.look(policy, now, problem)
            if self.ended or self.due > now:
                return
        raise AssertionError(f"the engine asks for ever more passes at {now:g} s")


def first_step(policy: CanaryPolicySpec) -> Run:
    """A rollout whose candidate became ready at second 0."""
    return begun(Run("", at_rest()), policy)


def begun(run: R, policy: CanaryPolicySpec) -> R:
    """The same rollout, brought from rest to its first step at second 0."""
    for _ in range(_MOST_PASSES):
        run.look(policy, 0.0, "")
        run.ended = False
        if run.status.phase is Phase.STEPPING:
            return run
    raise AssertionError("the engine does not begin the first step")


@dataclass(frozen=True)
class Ended:
    """What became of many runs; arrays of shape (runs,), times in seconds, NaN: it did not happen.

    `requests` and `bad` are the candidate's until its rollback, or until all checks passed.
    """

    promoted: Bools
    rolled_back: Bools
    seconds: NDArray[np.float64]
    requests: NDArray[np.float64]
    bad: NDArray[np.float64]


class Cohort:
    """`runs` independent runs of a policy in a scenario. `bad` is the column of bad requests."""

    def __init__(
        self, policy: CanaryPolicySpec, scenario: Scenario, runs: int, seed: np.random.SeedSequence,
        *, bad: int = K,
    ) -> None:  # fmt: skip
        self._policy, self._scenario, self._bad = policy, scenario, bad
        self._rng = np.random.default_rng(seed)
        self._bank = EvidenceBank()
        first = first_step(policy)
        plans = plans_of(policy)
        self._runs = [Run(str(i), first.status, first.weights, due=first.due) for i in range(runs)]
        for run in self._runs:
            self._bank.open(run.key, plans, EDGES)
        before = history(self._rng, scenario, runs)
        past = before.astype(np.float64)
        self._bank.remember({run.key: past[:, i] for i, run in enumerate(self._runs)})
        keys = [run.key for run in self._runs]
        self._answers = answer_cohort(policy, scenario, keys, seed, before)
        self._open = list(range(runs))
        self._held = np.zeros((runs, 2, COLUMNS))  # counted, but not yet read
        self._seen = np.zeros((runs, 2), dtype=np.bool_)
        # What verdicts depend on: the banks' marks, and whether both sides are seen.
        checks = len(plans) + (self._answers.checks if self._answers else 0)
        self._marks = np.zeros((runs, 3 * checks + 1), dtype=np.bool_)
        self._blind = False
        self._begun = False
        ready = from_wire(first.status.ready_at)
        self._ready = (ready or EPOCH) - EPOCH
        self._judged_from = self._ready + policy.warmup
        self._held_from = self._judged_from

    def play(self) -> Ended:
        """All runs to their end, or to the scenario's."""
        for interval in intervals(self._scenario):
            if not self._open:
                break
            self._serve(interval)
            self._scrape(interval)
            self._open = [i for i in self._open if not self._runs[i].ended]
        runs = self._runs
        return Ended(
            promoted=np.array([run.promoted for run in runs]),
            rolled_back=np.array([run.rolled_back for run in runs]),
            seconds=np.array(
                [run.rollback_at if run.rolled_back else run.promoting_at for run in runs]
            ),
            requests=np.array([run.until_decided[0] for run in runs]),
            bad=np.array([run.until_decided[1] for run in runs]),
        )

    def _serve(self, interval: Interval) -> None:
        """Requests between two scrapes, shared out by the weights as they were in that time."""
        shares = np.array([self._share(i, interval) for i in self._open])
        counts = draw(self._rng, interval, shares, self._scenario.overdispersion)
        rows = np.array(self._open)
        self._seen[rows] |= counts[:, :, N] > 0
        counted = interval.start >= self._judged_from - 1e-9
        if counted:
            self._held[rows] += counts
        if self._answers:
            self._answers.serve(interval, self._open, counts, shares, counted=counted)
        for row, i in enumerate(self._open):
            run = self._runs[i]
            run.served[0] += float(counts[row, 0, N])
            run.served[1] += float(counts[row, 0, self._bad])

    def _share(self, i: int, interval: Interval) -> float:
        """The candidate's mean share; passes that fall between the scrapes are made here."""
        run = self._runs[i]
        at, integral = interval.start, 0.0
        while run.due < interval.end and not run.ended:
            now = max(run.due, at)
            integral += share_of(run.weights) * (now - at)
            at = now
            if self._begun and not self._blind:
                self._judge([i])
            run.settle(self._policy, now, OUTAGE if self._blind else "")
        integral += share_of(run.weights) * (interval.end - at)
        return min(integral / (interval.end - interval.start), 1.0)

    def _scrape(self, interval: Interval) -> None:
        now, was_blind = interval.end, self._blind
        self._open = [i for i in self._open if not self._runs[i].ended]
        if interval.start < self._judged_from - 1e-9:
            return
        self._blind = interval.blind
        if interval.blind:
            if not was_blind:
                self._pass(self._open, now)
            return
        rows = np.array(self._open, dtype=np.intp)
        if not len(rows):
            return
        self._advance(rows)
        self._held_from = now
        marks = self._verdict_marks(rows)
        changed = (marks != self._marks[rows]).any(axis=1)
        self._marks[rows] = marks
        if was_blind or not self._begun:
            changed[:] = True
        self._begun = True
        wanted = [
            i for i, new in zip(self._open, changed, strict=True) if new or self._stale(i, now)
        ]
        self._judge(self._open if was_blind else wanted)
        self._pass(wanted, now)

    def _verdict_marks(self, rows: NDArray[np.intp]) -> Bools:
        """Where these stay the same, so do the verdicts."""
        marks = self._bank.marks([self._runs[i].key for i in self._open])
        parts = [marks.reshape(len(rows), -1) if marks.size else marks.reshape(len(rows), 0)]
        if self._answers:
            parts.append(self._answers.marks(rows))
        return np.concatenate([*parts, np.array([[self._fresh(i)] for i in self._open])], axis=1)

    def _advance(self, rows: NDArray[np.intp]) -> None:
        """One update with all that was counted since the last scrape that could be read."""
        held, age = self._held[rows], self._held_from - self._ready + 1e-9
        self._held[rows] = 0.0
        increments = {
            self._runs[i].key: Increment(c[N], c[K], s[N], s[K], c[ABOVE:], s[ABOVE:], age)
            for i, (c, s) in zip(rows.tolist(), held, strict=True)
            if c[N] or s[N]
        }
        baking = {self._runs[i].key for i in rows.tolist() if self._bakes(i)}
        self._bank.update(increments, baking=baking)
        if self._answers:
            self._answers.advance(rows, age, baking)

    def _bakes(self, i: int) -> bool:
        after = self._runs[i].status.phase in (Phase.PROMOTING, Phase.BAKING)
        return after and self._policy.bake_weight == 100

    def _stale(self, i: int, now: float) -> bool:
        """Numbers alone could let this run go on: it waits in a step after the hold."""
        run = self._runs[i]
        step = run.status.step
        if now - run.looked < STATUS_INTERVAL or step is None:
            return False
        last = step.index == len(self._policy.steps) - 1
        return run.status.phase is Phase.STEPPING and not last

    def _judge(self, wanted: Iterable[int]) -> None:
        for i in wanted:
            run = self._runs[i]
            fresh = self._fresh(i)
            run.checks = tuple(
                judge(evidence, fresh=fresh) for evidence in self._bank.results(run.key)
            )
            if self._answers:
                beside = not self._bakes(i)
                told = {**self._answers.judged(i, fresh=fresh, beside=beside)}
                told |= {check.name: check for check in run.checks}
                run.checks = tuple(told[check.name] for check in self._policy.checks)

    def _fresh(self, i: int) -> bool:
        return bool(self._seen[i, 0] and (self._seen[i, 1] or self._bakes(i)))

    def _pass(self, wanted: Iterable[int], now: float) -> None:
        for i in wanted:
            self._runs[i].settle(self._policy, now, OUTAGE if self._blind else "")
