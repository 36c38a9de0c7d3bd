"""What the checks of a policy mean in numbers, with the stated risks split over them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sluice.api.base import parse_duration
from sluice.api.policy import CanaryPolicySpec, Check, Metric


class Kind(StrEnum):
    """What is tested: against the stable, or against an absolute objective."""

    COMPARE_RATE = "compare-rate"
    COMPARE_LATENCY = "compare-latency"
    LIMIT_RATE = "limit-rate"
    LIMIT_QUANTILE = "limit-quantile"

    @property
    def compares(self) -> bool:
        """The stable is the yardstick."""
        return self in (Kind.COMPARE_RATE, Kind.COMPARE_LATENCY)

    @property
    def of_latency(self) -> bool:
        """Bucket counts are looked at, not failures."""
        return self in (Kind.COMPARE_LATENCY, Kind.LIMIT_QUANTILE)


@dataclass(frozen=True)
class CheckPlan:
    """One check of one rollout, risks already split.

    `acceptable` and `unacceptable` are ratios candidate/stable, `negligible` a share below which
    rates count as equal (compare kinds). `limit` is a share (LIMIT_RATE) or seconds
    (LIMIT_QUANTILE, with `quantile` between 0 and 1). `alpha` is this check's part of the risk of a
    false rollback, `beta` the risk of a false promotion. `overdispersion` is the variance of the
    failures per scrape over their mean (Fano factor, >= 1): all evidence is divided by it, or by
    what the stable's own counts say if that is more. `warmup`: seconds after the candidate became
    ready in which nothing counts for this check.
    """

    name: str
    kind: Kind
    acceptable: float = 1.0
    unacceptable: float = 2.0
    negligible: float = 0.001
    limit: float = 0.0
    quantile: float = 0.0
    alpha: float = 0.01
    beta: float = 0.05
    overdispersion: float = 1.0
    warmup: float = 0.0


@dataclass(frozen=True)
class AnswerPlan:
    """One check of a model's answers (`sluice.evidence.answers`), risks already split.

    `acceptable`, `unacceptable` and `least_share` are shares (0.02 is two points). `slices` and
    `per_class` say what is looked at by itself, `least_share` what of it is waited for. Predictions
    are judged in both directions, feedback only where more is wrong. `warmup` as in `CheckPlan`.
    """

    name: str
    metric: Metric
    acceptable: float = 0.02
    unacceptable: float = 0.1
    slices: tuple[str, ...] = ()
    per_class: bool = False
    least_share: float = 0.01
    alpha: float = 0.01
    beta: float = 0.05
    warmup: float = 0.0


def plans_of(spec: CanaryPolicySpec) -> tuple[CheckPlan, ...]:
    """The checks of how a model serves, in the order of the policy; those of answers are left out.

    The risk of a false rollback is split evenly (Bonferroni: the parts sum to the stated risk
    whatever the dependence). The risk of a false promotion is not split: every check must pass, so
    an unacceptable candidate has to deceive the very check it violates (intersection-union test).
    """
    alpha = spec.risk.false_rollback / len(spec.checks)
    checks = [check for check in spec.checks if not check.metric.of_answers]
    return tuple(_plan(check, alpha, spec.risk.false_promotion) for check in checks)


def answer_plans_of(spec: CanaryPolicySpec) -> tuple[AnswerPlan, ...]:
    """The checks of what a model answers, in the order of the policy; risks as in `plans_of`.

    A check's part of the risk is split again over its classes and slices (`evidence.difference`).
    """
    alpha = spec.risk.false_rollback / len(spec.checks)
    return tuple(
        AnswerPlan(
            name=check.name,
            metric=check.metric,
            acceptable=check.difference.acceptable,
            unacceptable=check.difference.unacceptable,
            slices=tuple(check.difference.slices),
            per_class=check.difference.per_class,
            least_share=check.difference.least_share,
            alpha=alpha,
            beta=spec.risk.false_promotion,
            warmup=check.warmup or 0.0,
        )
        for check in spec.checks
        if check.difference is not None
    )


def _plan(check: Check, alpha: float, beta: float) -> CheckPlan:
    latency = check.metric is Metric.LATENCY
    if check.compare is not None:
        return CheckPlan(
            name=check.name,
            kind=Kind.COMPARE_LATENCY if latency else Kind.COMPARE_RATE,
            acceptable=check.compare.acceptable_ratio,
            unacceptable=check.compare.unacceptable_ratio,
            negligible=check.compare.negligible_below,
            alpha=alpha,
            beta=beta,
            warmup=check.warmup or 0.0,
        )
    if check.limit is None:  # the schema asks for exactly one of the two
        raise ValueError(f"check {check.name!r} needs exactly one of compare and limit")
    limit = check.limit.max
    return CheckPlan(
        name=check.name,
        kind=Kind.LIMIT_QUANTILE if latency else Kind.LIMIT_RATE,
        limit=parse_duration(limit) if isinstance(limit, str) else float(limit),
        quantile=check.limit.quantile or 0.0,
        alpha=alpha,
        beta=beta,
        warmup=check.warmup or 0.0,
    )
