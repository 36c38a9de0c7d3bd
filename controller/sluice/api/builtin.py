"""The policies that are there without being installed: a new installation has something to name.

`canary_policies/` has the same ones with their reasons, as ClusterCanaryPolicies to be applied and
changed; one of that name in the cluster wins over the one built in.
"""

from __future__ import annotations

from sluice.api.policy import (
    CanaryPolicySpec,
    Check,
    Compare,
    Limit,
    Metric,
    OnUndecided,
    Risk,
    Step,
    UndecidedAction,
)


def built_in(name: str) -> str:
    """How status names it, apart from a policy of that name in the cluster."""
    return f"{name} (built in)"


DEFAULT_POLICY = "balanced"
BUILTIN_POLICY_NAME = built_in(DEFAULT_POLICY)


def _errors(acceptable: float, unacceptable: float, negligible: float) -> Check:
    compare = Compare(
        acceptable_ratio=acceptable, unacceptable_ratio=unacceptable, negligible_below=negligible
    )
    return Check(name="errors", metric=Metric.ERROR_RATE, compare=compare)


def _latency(
    acceptable: float, unacceptable: float, negligible: float, warmup: float | None = None
) -> Check:
    compare = Compare(
        acceptable_ratio=acceptable, unacceptable_ratio=unacceptable, negligible_below=negligible
    )
    return Check(name="latency", metric=Metric.LATENCY, compare=compare, warmup=warmup)


BALANCED = CanaryPolicySpec(
    steps=[
        Step(weight=5, hold=120.0),
        Step(weight=20, hold=120.0),
        Step(weight=50, hold=300.0),
    ],
    bake=600.0,
    warmup=30.0,
    risk=Risk(false_rollback=0.01, false_promotion=0.05),
    on_undecided=OnUndecided(after=86400.0),
    checks=[_errors(1.0, 2.0, 0.001), _latency(1.1, 2.0, 0.005, warmup=90.0)],
)

CAUTIOUS = CanaryPolicySpec(
    steps=[
        Step(weight=1, hold=600.0),
        Step(weight=5, hold=1200.0),
        Step(weight=10, hold=1800.0),
        Step(weight=25, hold=1800.0),
        Step(weight=50, hold=3600.0),
    ],
    bake=3600.0,
    warmup=120.0,
    risk=Risk(false_rollback=0.01, false_promotion=0.01),
    on_undecided=OnUndecided(after=259200.0),
    checks=[
        _errors(1.0, 1.5, 0.001),
        _latency(1.05, 1.5, 0.005),
        Check(name="p99", metric=Metric.LATENCY, limit=Limit(quantile=0.99, max="1s")),
    ],
)

FAST = CanaryPolicySpec(
    steps=[Step(weight=10, hold=30.0), Step(weight=50, hold=60.0)],
    bake=120.0,
    warmup=15.0,
    risk=Risk(false_rollback=0.02, false_promotion=0.1),
    on_undecided=OnUndecided(after=3600.0, action=UndecidedAction.ROLL_BACK),
    checks=[_errors(1.2, 3.0, 0.005), _latency(1.5, 3.0, 0.02, warmup=60.0)],
)

LIBRARY = {"balanced": BALANCED, "cautious": CAUTIOUS, "fast": FAST}
