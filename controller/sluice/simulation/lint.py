"""What is wrong with a policy or a ModelRollout before anybody relies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.api.base import API_VERSION, format_duration
from sluice.api.builtin import BALANCED
from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import POLICY_KIND, RolloutSpec, parse_policy, parse_rollout
from sluice.errors import SpecError
from sluice.evidence import EDGES, CheckPlan, Kind, plans_of
from sluice.evidence.limits import events_to_pass
from sluice.simulation.cost import LONGEST_DAYS, REALISTIC, Cost, cost_to_pass, costs
from sluice.simulation.files import POLICY_KINDS, Document
from sluice.simulation.findings import Finding, Level
from sluice.simulation.lint_answers import (
    cost_of_answers,
    lint_answers,
    lint_strategy,
    lint_time,
)
from sluice.simulation.lint_gates import lint_gates
from sluice.simulation.lint_monitoring import lint_monitoring
from sluice.simulation.lint_preflight import CONFIG_MAP_KIND, lint_preflight
from sluice.simulation.serving import serving_only

ROLLOUT_KIND = "ModelRollout"
# With a comparison closer than this many events, half a percent of errors at 20/s takes a day.
_MANY_EVENTS = 5_000.0
# Of the old revision's holdback; with fewer even gross harm in the bake is seen late or never.
_FEW_REQUESTS = 60.0


@dataclass(frozen=True)
class Linted:
    """One document with its findings and, where the traffic is known, its costs."""

    document: Document
    findings: tuple[Finding, ...]
    costs: tuple[Cost, ...] = ()


@dataclass(frozen=True)
class Traffic:
    """What to expect: requests a second of both sides, and the stable's share of failures."""

    rps: float | None = None
    error_rate: float | None = None


def lint(documents: Sequence[Document], traffic: Traffic) -> list[Linted]:
    """Every document of the files, in order. Policies may be referred to across files."""
    policies = {_identity(d): d for d in documents if d.kind in POLICY_KINDS}
    named = _config_maps_named(documents)
    return [
        _lint(document, policies, traffic, documents)
        for document in documents
        # What is only there for a preflight is told at the rollout.
        if document.kind != CONFIG_MAP_KIND or document.name not in named
    ]


def _config_maps_named(documents: Sequence[Document]) -> set[str]:
    """Names of the ConfigMaps that rollouts take their preflight's requests from."""
    found = set()
    for document in documents:
        here: Any = document.content if document.kind == ROLLOUT_KIND else None
        for key in ("spec", "preflight", "requests", "configMap", "name"):
            here = here.get(key) if isinstance(here, Mapping) else None
        if isinstance(here, str):
            found.add(here)
    return found


def _identity(document: Document) -> tuple[str, str]:
    return document.kind, document.name


def _lint(
    document: Document,
    policies: Mapping[tuple[str, str], Document],
    traffic: Traffic,
    documents: Sequence[Document],
) -> Linted:
    if document.kind not in (*POLICY_KINDS, ROLLOUT_KIND):
        what = f"kind {document.kind or '(none)'} is not looked at"
        fix = f"give files with {', '.join(POLICY_KINDS)} or {ROLLOUT_KIND}"
        return Linted(document, (Finding(Level.NOTE, "kind", what, fix),))
    found: list[Finding] = []
    if document.content.get("apiVersion") != API_VERSION:
        what = f"expected {API_VERSION}, found {document.content.get('apiVersion')!r}"
        found.append(Finding(Level.ERROR, "apiVersion", what, f"write apiVersion: {API_VERSION}"))
    try:
        policy = _policy_of(document, policies, found, documents)
    except SpecError as error:
        what = str(error)
        found.append(Finding(Level.ERROR, "spec", what, "correct what is named"))
        return Linted(document, tuple(found))
    if policy is None:
        return Linted(document, tuple(found))
    found += lint_policy(policy, traffic)
    return Linted(document, tuple(found), _costs(policy, traffic))


def _costs(policy: CanaryPolicySpec, traffic: Traffic) -> tuple[Cost, ...]:
    if traffic.rps is None or traffic.error_rate is None:
        return ()
    taken = []
    if plans_of(policy):
        taken = costs(serving_only(policy)[0], traffic.rps, traffic.error_rate)
    answers = [check for check in policy.checks if check.metric.of_answers]
    return (*taken, *(cost_of_answers(policy, check, traffic.rps) for check in answers))


def _policy_of(
    document: Document,
    policies: Mapping[tuple[str, str], Document],
    found: list[Finding],
    documents: Sequence[Document],
) -> CanaryPolicySpec | None:
    """The policy that judges; None where it is not among the files."""
    if document.kind != ROLLOUT_KIND:
        return parse_policy(dict(document.content))
    _has_template(document)
    rollout = parse_rollout(dict(document.content))
    policy = _named_policy(rollout.spec, policies, found)
    found += lint_gates(rollout.namespace, rollout.name, rollout.spec, policy)
    if policy is not None:
        found += lint_strategy(rollout.spec, policy)
    found += lint_preflight(rollout.namespace, rollout.spec.preflight, documents)
    found += lint_monitoring(rollout.spec.monitoring)
    return policy


def _named_policy(
    spec: RolloutSpec, policies: Mapping[tuple[str, str], Document], found: list[Finding]
) -> CanaryPolicySpec | None:
    base = BALANCED
    if spec.policy_ref is not None:
        named = policies.get((spec.policy_ref.kind, spec.policy_ref.name))
        if named is None:
            found.append(_missing_policy(spec.policy_ref.kind, spec.policy_ref.name))
            return None
        base = parse_policy(dict(named.content))
    return base.overridden(spec.strategy.overrides)


def _has_template(document: Document) -> None:
    spec = document.content.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("template"), dict):
        raise SpecError(
            "InvalidSpec", "spec.template: a SeldonDeployment is expected here, found none"
        )


def _missing_policy(kind: str, name: str) -> Finding:
    return Finding(
        Level.WARNING,
        "spec.policyRef",
        f"{kind} {name} is not among the files, so how this rollout is judged is not checked",
        "give its file too" + ("" if kind == POLICY_KIND else " (canary_policies/ has examples)"),
    )


def lint_policy(policy: CanaryPolicySpec, traffic: Traffic) -> list[Finding]:
    """What contradicts itself, can never be, or promises what it cannot keep."""
    found = _holds(policy) + _warmups(policy) + _steps(policy) + _bake(policy, traffic)
    plans = {plan.name: plan for plan in plans_of(policy)}
    for number, check in enumerate(policy.checks):
        where = f"spec.checks[{number}] ({check.name})"
        plan = plans.get(check.name)
        if plan is None:
            found += lint_answers(where, check, policy)
            if traffic.rps is not None:
                found += lint_time(where, policy, check, traffic.rps)
            continue
        if check.limit is not None:
            found += _limit(where, plan, traffic)
        else:
            found += _compare(where, plan, traffic)
        if traffic.rps is not None:
            found += _time(where, policy, plan, traffic)
    return found


def _holds(policy: CanaryPolicySpec) -> list[Finding]:
    found = []
    after = policy.on_undecided.after
    for number, step in enumerate(policy.steps):
        if step.hold < after:
            continue
        last = number == len(policy.steps) - 1
        what = (
            f"the hold of {format_duration(step.hold)} is not shorter than onUndecided.after "
            f"({format_duration(after)}): what is undecided when it ends is given up at once"
        )
        fix = f"shorten the hold, or set onUndecided.after well above {format_duration(step.hold)}"
        level = Level.ERROR if last else Level.WARNING
        found.append(Finding(level, f"spec.steps[{number}].hold", what, fix))
    return found


def _warmups(policy: CanaryPolicySpec) -> list[Finding]:
    found = []
    holds = sum(step.hold for step in policy.steps)
    given = [("spec.warmup", policy.warmup)]
    for number, check in enumerate(policy.checks):
        if check.warmup is None:
            continue
        where = f"spec.checks[{number}] ({check.name}).warmup"
        if check.warmup <= policy.warmup:
            what = (
                f"{format_duration(check.warmup)} has no effect: the policy's own warm-up lasts "
                f"{format_duration(policy.warmup)}"
            )
            fix = "leave it out, or make it longer"
            found.append(Finding(Level.NOTE, where, what, fix))
        else:
            given.append((where, check.warmup))
    for where, warmup in given:
        if 0 < holds <= warmup:
            what = (
                f"the warm-up of {format_duration(warmup)} is not shorter than all holds together "
                f"({format_duration(holds)}): nothing is measured in the steps before the last"
            )
            found.append(Finding(Level.WARNING, where, what, "shorten it, or lengthen the holds"))
    return found


def _bake(policy: CanaryPolicySpec, traffic: Traffic) -> list[Finding]:
    if policy.bake == 0:
        what = "harm that begins after the promotion is not looked for, and nothing switches back"
        return [Finding(Level.WARNING, "spec.bake", what, "set it, such as bake: 10m")]
    share = 100 - policy.bake_weight
    if traffic.rps is None or share == 0 or any(check.limit for check in policy.checks):
        return []
    kept = traffic.rps * share / 100 * policy.bake
    if kept >= _FEW_REQUESTS:
        return []
    what = (
        f"at {traffic.rps:g} requests/s the old revision answers about {kept:.0f} requests while "
        "baking: that is too little to compare with, so harm that begins then is hardly seen"
    )
    fix = "raise bakeHoldback, lengthen the bake, or add a check with a limit"
    return [Finding(Level.WARNING, "spec.bakeHoldback", what, fix)]


def _steps(policy: CanaryPolicySpec) -> list[Finding]:
    last = len(policy.steps) - 1
    if policy.steps[last].weight < 100 or not any(c.compare or c.difference for c in policy.checks):
        return []
    only = last == 0
    what = "at weight 100 the stable gets no requests, so nothing can be compared with it" + (
        ": no comparison can ever pass" if only else ": what has not passed before then never will"
    )
    level = Level.ERROR if only else Level.WARNING
    fix = "end with a weight such as 50; the promotion itself gives the candidate everything"
    return [Finding(level, f"spec.steps[{last}].weight", what, fix)]


def _limit(where: str, plan: CheckPlan, traffic: Traffic) -> list[Finding]:
    if plan.kind is Kind.LIMIT_RATE:
        rate = traffic.error_rate
        if rate is None or rate < plan.limit:
            return []
        what = (
            f"the limit of {_percent(plan.limit)} is not above the stable's own rate of "
            f"{_percent(rate)}: a candidate like the stable can never pass"
            + (", and is rolled back" if rate > plan.limit else "")
        )
        fix = (
            f"set max well above it, such as {min(3 * rate, 0.99):.3g}, or compare with the stable"
        )
        return [Finding(Level.ERROR, f"{where}.limit.max", what, fix)]
    return _quantile_limit(f"{where}.limit.max", plan)


def _quantile_limit(where: str, plan: CheckPlan) -> list[Finding]:
    limit, slack = plan.limit, 1e-9 * max(plan.limit, 1.0)
    shown, first, last = (format_duration(x) for x in (limit, EDGES[0], EDGES[-1]))
    if limit < EDGES[0] - slack:
        what = f"{shown} is below the first bucket edge ({first}): this can never be shown"
        return [Finding(Level.ERROR, where, what, f"set max to {first} or a later bucket edge")]
    if limit > EDGES[-1] + slack:
        what = f"{shown} is above the last bucket edge ({last}): a breach can never be seen"
        return [Finding(Level.ERROR, where, what, f"set max to {last} or less")]
    if any(abs(edge - limit) <= slack for edge in EDGES):
        return []
    below = max(edge for edge in EDGES if edge < limit)
    above = min(edge for edge in EDGES if edge > limit)
    low, high = format_duration(below), format_duration(above)
    what = (
        f"{shown} lies between the bucket edges {low} and {high}: Pass needs p"
        f"{plan.quantile * 100:g} below {low}, and a rollback needs it above {high}"
    )
    return [Finding(Level.WARNING, where, what, f"set max to {low} or {high}")]


def _compare(where: str, plan: CheckPlan, traffic: Traffic) -> list[Finding]:
    found = []
    ratio = plan.unacceptable / plan.acceptable
    events = events_to_pass(plan.acceptable, 0.5, unacceptable=plan.unacceptable, beta=plan.beta)
    if events > _MANY_EVENTS:
        what = (
            f"unacceptableRatio is only {ratio:.3g} times acceptableRatio: to tell them apart "
            f"takes at least {events:,.0f} bad requests, even at a weight of 50"
        )
        fix = "take them further apart: unacceptableRatio 2 takes about 50"
        found.append(Finding(Level.WARNING, f"{where}.compare.unacceptableRatio", what, fix))
    rate = traffic.error_rate
    if rate and not plan.kind.of_latency and plan.negligible > rate * plan.unacceptable:
        what = (
            f"rates below {_percent(plan.negligible)} count as none, so a candidate with up to "
            f"{plan.negligible / rate:.3g} times the stable's {_percent(rate)} is promoted, beyond "
            f"the unacceptableRatio of {plan.unacceptable:g}"
        )
        fix = f"set negligibleBelow to {rate * plan.unacceptable:.3g} or less, if that matters"
        found.append(Finding(Level.WARNING, f"{where}.compare.negligibleBelow", what, fix))
    return found


def _time(where: str, policy: CanaryPolicySpec, plan: CheckPlan, traffic: Traffic) -> list[Finding]:
    rps = traffic.rps or 0.0
    if traffic.error_rate is None and not plan.kind.of_latency:
        return []
    rate = traffic.error_rate or 0.0
    if plan.kind is Kind.LIMIT_RATE and rate >= plan.limit:
        return []  # said already
    if plan.kind is Kind.LIMIT_QUANTILE and plan.limit < EDGES[0]:
        return []
    cost = cost_to_pass(policy, plan, rps, rate)
    # The clock of onUndecided begins with the last step.
    given = (sum(s.hold for s in policy.steps[:-1]) + policy.on_undecided.after) / 60.0
    if cost.minutes is not None and cost.minutes <= given:
        return []
    takes = f"more than {LONGEST_DAYS:g} days" if cost.minutes is None else _time_of(cost.minutes)
    what = (
        f"at {rps:g} requests/s a candidate like the stable takes about {takes} to pass, but "
        f"onUndecided.after is {format_duration(policy.on_undecided.after)}: it will be given up"
    )
    fix = (
        "take a larger unacceptableRatio, limit or negligibleBelow, a larger last weight, or a "
        "longer onUndecided.after"
    )
    return [Finding(Level.ERROR, where, what, fix)]


def _time_of(minutes: float) -> str:
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 2880 else f"{minutes / 1440:.0f} days"


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


__all__ = ["REALISTIC", "Finding", "Level", "Linted", "Traffic", "lint", "lint_policy"]
