"""The policy of a ModelRollout that names none. `canary_policies/balanced.yaml` says the same."""

from __future__ import annotations

from sluice.api.policy import CanaryPolicySpec, Check, Compare, Metric, OnUndecided, Risk, Step

# How status names it, apart from a policy of that name in the cluster.
BUILTIN_POLICY_NAME = "balanced (built in)"

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
    checks=[
        Check(
            name="errors",
            metric=Metric.ERROR_RATE,
            compare=Compare(acceptable_ratio=1.0, unacceptable_ratio=2.0, negligible_below=0.001),
        ),
        Check(
            name="latency",
            metric=Metric.LATENCY,
            warmup=90.0,
            compare=Compare(acceptable_ratio=1.1, unacceptable_ratio=2.0, negligible_below=0.005),
        ),
    ],
)
