"""What of a policy can be played: how a model serves. What it answers is not drawn or recorded."""

from __future__ import annotations

from sluice.api.policy import CanaryPolicySpec
from sluice.errors import UsageError


def serving_only(policy: CanaryPolicySpec) -> tuple[CanaryPolicySpec, tuple[str, ...]]:
    """The policy without its checks of answers, and the names of those.

    Every other check keeps its part of the risk. Raises UsageError where no other is left.
    """
    left_out = tuple(check.name for check in policy.checks if check.metric.of_answers)
    if not left_out:
        return policy, ()
    kept = [check for check in policy.checks if not check.metric.of_answers]
    if not kept:
        raise UsageError(
            f"the policy has only checks of answers ({', '.join(left_out)}), and these are not "
            "played: expected a check of error-rate or latency beside them"
        )
    part = len(kept) / len(policy.checks)
    risk = policy.risk.model_copy(update={"false_rollback": policy.risk.false_rollback * part})
    return policy.model_copy(update={"checks": kept, "risk": risk}), left_out
