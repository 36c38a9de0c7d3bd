"""What of a policy can be played: how a model serves, and what it answers where that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sluice.api.policy import CanaryPolicySpec, Check, Metric
from sluice.errors import UsageError
from sluice.simulation.scenario import Scenario

_KIT = "the model kit's counters in the recording"

Missing = Callable[[Check], str]
"""Why a check cannot be played; "" where it can."""


def serving_only(policy: CanaryPolicySpec) -> tuple[CanaryPolicySpec, tuple[str, ...]]:
    """The policy without its checks of answers, and the names of those, as `played` has it."""
    kept, left_out = played(policy, lambda check: _KIT if check.metric.of_answers else "")
    return kept, tuple(left_out)


def played(
    policy: CanaryPolicySpec, missing: Missing
) -> tuple[CanaryPolicySpec, Mapping[str, str]]:
    """The policy without the checks that something is missing for, and what that is, by name.

    Every other check keeps its part of the risk. Raises UsageError where no other is left.
    """
    left_out = {check.name: lacks for check in policy.checks if (lacks := missing(check))}
    if not left_out:
        return policy, {}
    kept = [check for check in policy.checks if check.name not in left_out]
    if not kept:
        raise UsageError(
            f"the policy has only checks of answers ({', '.join(left_out)}), and these cannot be "
            f"played without {'; '.join(dict.fromkeys(left_out.values()))}: give that, or a check "
            "of error-rate or latency beside them"
        )
    part = len(kept) / len(policy.checks)
    risk = policy.risk.model_copy(update={"false_rollback": policy.risk.false_rollback * part})
    return policy.model_copy(update={"checks": kept, "risk": risk}), left_out


def in_scenario(
    policy: CanaryPolicySpec, scenario: Scenario
) -> tuple[CanaryPolicySpec, Mapping[str, str]]:
    """The policy as the scenario can play it, and what it lacks for the other checks, by name."""
    return played(policy, lambda check: _lacks(check, scenario))


def _lacks(check: Check, scenario: Scenario) -> str:
    if not check.metric.of_answers or check.difference is None:
        return ""
    if without := [name for name in check.difference.slices if name not in scenario.slices]:
        return f"slices.{without[0]}"
    if check.metric is Metric.PREDICTIONS:
        return "" if scenario.stable.predictions is not None else "predictions of both sides"
    if scenario.feedback is None:
        return "feedback, and accuracy of both sides"
    if check.difference.per_class and scenario.feedback.truths is None:
        return "feedback.truths (the check is perClass)"
    return ""
