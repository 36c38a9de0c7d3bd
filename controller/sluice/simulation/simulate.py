"""Scenarios -> results. The answer depends on the seed alone, not on the number of processes."""

from __future__ import annotations

import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.api.policy import CanaryPolicySpec
from sluice.evidence import plans_of
from sluice.evidence.spec import answer_plans_of
from sluice.simulation.bounds import Bound, latest, least_to_harm, least_to_pass, soonest
from sluice.simulation.bounds_answers import answers_to_harm, answers_to_pass
from sluice.simulation.cohort import Cohort, Ended
from sluice.simulation.outcomes import summary
from sluice.simulation.scenario import Scenario, Truth
from sluice.simulation.serving import in_scenario
from sluice.simulation.traffic import K, intervals

CHUNK = 250
"""Runs whose traffic is drawn together, with one seed: part of what a seed means."""


@dataclass(frozen=True)
class _Task:
    scenario: int
    policy: CanaryPolicySpec
    content: Scenario
    runs: int
    seed: np.random.SeedSequence
    bad: int


def simulate(
    policy: CanaryPolicySpec,
    scenarios: Sequence[Scenario],
    *,
    runs: int,
    seed: int,
    jobs: int = 1,
    tell: Callable[[int], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """One result per scenario, in order. `tell` is called with each number of finished runs.

    Checks of what a scenario does not tell are not played: `notSimulated` of its result names them.
    """
    seen = [in_scenario(policy, scenario) for scenario in scenarios]
    limits = [limit_of(own, scenario) for (own, _), scenario in zip(seen, scenarios, strict=True)]
    tasks = [
        task
        for number, scenario in enumerate(scenarios)
        for task in _tasks(seen[number][0], number, scenario, runs, seed)
    ]
    parts: list[list[Ended]] = [[] for _ in scenarios]
    for task, ended in zip(tasks, _played(tasks, jobs), strict=True):
        parts[task.scenario].append(ended)
        tell(task.runs)
    return [
        summary(scenario, part, limit) | ({"notSimulated": list(left_out)} if left_out else {})
        for scenario, part, limit, (_, left_out) in zip(scenarios, parts, limits, seen, strict=True)
    ]


def limit_of(policy: CanaryPolicySpec, scenario: Scenario) -> Bound | None:
    """The information limit of the right answer; None where it cannot come in this time."""
    every, answers = intervals(scenario), bool(answer_plans_of(policy))
    serving = bool(plans_of(policy))
    found = []
    if scenario.truth is Truth.HARMFUL:
        found += [least_to_harm(policy, every)] if serving else []
        found += [answers_to_harm(policy, scenario, every)] if answers else []
        return soonest(found)
    found += [least_to_pass(policy, every)] if serving else []
    found += [answers_to_pass(policy, scenario, every)] if answers else []
    return latest(found)


def _tasks(
    policy: CanaryPolicySpec, number: int, scenario: Scenario, runs: int, seed: int
) -> Iterator[_Task]:
    # By name, so that a scenario has the same answer whatever else is simulated beside it.
    own = np.random.SeedSequence([seed, zlib.crc32(scenario.name.encode())])
    harm = least_to_harm(policy, intervals(scenario))
    bad = harm.column if harm is not None else K
    sizes = [min(CHUNK, runs - start) for start in range(0, runs, CHUNK)]
    for size, child in zip(sizes, own.spawn(len(sizes)), strict=True):
        yield _Task(number, policy, scenario, size, child, bad)


def _played(tasks: Sequence[_Task], jobs: int) -> Iterator[Ended]:
    if jobs <= 1 or len(tasks) <= 1:
        yield from map(_play, tasks)
        return
    # Not forked: a process that has threads (a progress bar) must not be.
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(tasks))) as pool:
        yield from pool.imap(_play, tasks)


def _play(task: _Task) -> Ended:
    return Cohort(task.policy, task.content, task.runs, task.seed, bad=task.bad).play()
