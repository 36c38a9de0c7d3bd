"""The checks of answers of many runs: drawn, counted, and judged as the controller does."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sluice.api.policy import CanaryPolicySpec, Metric
from sluice.api.status import CheckStatus
from sluice.evidence.answer_bank import AnswerBank, AnswerIncrement
from sluice.evidence.answers import Counted
from sluice.evidence.formulas import BoolArray, FloatArray
from sluice.evidence.judge_answers import judge_answers
from sluice.evidence.spec import AnswerPlan, answer_plans_of
from sluice.simulation.answer_traffic import AnswerScenario, AnswerTraffic
from sluice.simulation.scenario import Scenario
from sluice.simulation.traffic import Interval, Ints, intervals


class AnswerCohort:
    """What the runs `keys` answer, and what their checks say of it.

    `past` (T, runs, 2) are the stables' requests and failures before second 0.
    """

    def __init__(
        self, plans: Sequence[AnswerPlan], scenario: Scenario, keys: Sequence[str],
        seed: np.random.SeedSequence, past: Ints,
    ) -> None:  # fmt: skip
        content = AnswerScenario(scenario, counted_by(plans), sliced_by(plans))
        self._keys, self._cells = keys, content.cells
        self._traffic = AnswerTraffic(content, len(keys), seed, intervals(scenario)[0])
        self._bank = AnswerBank()
        for key in keys:
            self._bank.open(key, plans)
            self._bank.lay_out(key, content.shown, content.shown)
        self._bank.remember_all(keys, self._cells, self._traffic.past(past))
        self._held = np.zeros((len(keys), 2, len(self._cells)))
        self.checks = len(plans)

    def serve(
        self, interval: Interval, rows: Sequence[int], counts: Ints, share: FloatArray, *,
        counted: bool,
    ) -> None:  # fmt: skip
        """Answer the requests between two scrapes; not `counted` in the warm-up."""
        mix = self._traffic.scenario.mix(interval)
        drawn = self._traffic.drawn(mix, rows, counts, share)
        if counted:
            self._held[rows] += drawn

    def advance(self, rows: NDArray[np.intp], age: float, apart: Collection[str]) -> None:
        """One update with all that was counted since the last scrape that could be read."""
        held = self._held[rows]
        self._held[rows] = 0.0
        increments = {
            self._keys[row]: AnswerIncrement(self._cells, both[0], both[1], age)
            for row, both in zip(rows.tolist(), held, strict=True)
            if both.any()
        }
        self._bank.update(increments, apart=frozenset(apart))

    def marks(self, rows: NDArray[np.intp]) -> BoolArray:
        """All that the verdicts depend on, (R, 3 * checks)."""
        marks = self._bank.marks([self._keys[row] for row in rows.tolist()])
        return marks.reshape(len(rows), 3 * self.checks)

    def judged(self, row: int, *, fresh: bool, beside: bool) -> Mapping[str, CheckStatus]:
        """What the checks of a run say, by name."""
        return {
            evidence.plan.name: judge_answers(evidence, fresh=fresh, beside=beside)
            for evidence in self._bank.results(self._keys[row])
        }


def answer_cohort(
    policy: CanaryPolicySpec, scenario: Scenario, keys: Sequence[str],
    seed: np.random.SeedSequence, past: Ints,
) -> AnswerCohort | None:  # fmt: skip
    """None, and nothing drawn, for a policy without checks of answers."""
    plans = answer_plans_of(policy)
    return AnswerCohort(plans, scenario, keys, seed, past) if plans else None


def counted_by(plans: Sequence[AnswerPlan]) -> frozenset[Counted]:
    """What the checks count."""
    return frozenset(
        Counted.OUTCOME if plan.metric is Metric.FEEDBACK else Counted.PREDICTION for plan in plans
    )


def sliced_by(plans: Sequence[AnswerPlan]) -> frozenset[str]:
    """The slices that the checks look at."""
    return frozenset(name for plan in plans for name in plan.slices)
