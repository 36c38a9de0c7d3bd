"""Evidence -> the check's verdict, a CamelCase reason, and one sentence with the numbers."""

from __future__ import annotations

from sluice.api.base import format_duration
from sluice.api.status import CheckStatus, Verdict
from sluice.evidence.bank import CheckEvidence
from sluice.evidence.spec import Kind


def judge(evidence: CheckEvidence, *, fresh: bool, problem: str = "") -> CheckStatus:
    """The status of one check.

    `fresh` is False while the metrics do not move (an outage, no scrape): such a check neither
    passes nor harms, unless harm was shown before. `problem` (a sentence) makes it an Error.
    """
    verdict, reason, message = _answer(evidence, fresh, problem)
    return CheckStatus(
        name=evidence.plan.name,
        verdict=verdict,
        reason=reason,
        message=message,
        candidate=rounded(evidence.candidate),
        stable=rounded(evidence.stable),
        evidence=round(evidence.log10_pass, 3),
        needed=round(evidence.pass_needed, 3),
        harm_evidence=round(evidence.log10_harm, 3),
        harm_needed=round(evidence.harm_needed, 3),
        candidate_samples=evidence.n_c,
        stable_samples=evidence.n_s,
        requests_left=None if evidence.passed else evidence.requests_left,
    )


def _answer(evidence: CheckEvidence, fresh: bool, problem: str) -> tuple[Verdict, str, str]:
    plan = evidence.plan
    if evidence.harmed:
        reason = "WorseThanStable" if plan.kind.compares else "AboveLimit"
        risk = f"{percent(plan.alpha)} risk of a false alarm"
        return Verdict.HARM, reason, f"{_numbers(evidence)}: shown to be too much, at {risk}."
    if problem:
        return Verdict.ERROR, "MetricsProblem", problem
    if evidence.n_c == 0 and evidence.skipped:
        return (
            Verdict.NO_DATA,
            "WarmingUp",
            f"Requests of the candidate's first {format_duration(plan.warmup)} do not count here "
            f"({evidence.skipped:,} so far).",
        )
    if evidence.n_c == 0:
        return Verdict.NO_DATA, "NoRequests", "The candidate has not answered any request yet."
    if not fresh:
        return (
            Verdict.NO_DATA,
            "MetricsStale",
            f"No new metrics; so far {_numbers(evidence)}. Nothing is decided until they return.",
        )
    if evidence.passed:
        if plan.kind.compares:
            bound = f"less than {plan.unacceptable:g}x the stable's"
            bound += f", or below {percent(plan.negligible)}"
            return Verdict.PASS, "NotWorseThanStable", f"{_numbers(evidence)}: shown to be {bound}."
        return Verdict.PASS, "WithinLimit", f"{_numbers(evidence)}: shown to be within the limit."
    if not evidence.passable:
        return (
            Verdict.UNDECIDED,
            "BucketsTooCoarse",
            f"{_numbers(evidence)}: no bucket edge lies at or below the limit, so this check can "
            "never pass; raise the limit to a bucket edge.",
        )
    return Verdict.UNDECIDED, *_undecided(evidence)


def _undecided(evidence: CheckEvidence) -> tuple[str, str]:
    if evidence.plan.kind.compares and evidence.n_s == 0:
        return (
            "NoStableRequests",
            f"{_numbers(evidence)}: the stable has answered no request to compare with.",
        )
    left = evidence.requests_left
    if left is None:
        return (
            "NotShownAtTheseRates",
            f"{_numbers(evidence)}: at these rates more requests would not lead to Pass.",
        )
    return (
        "MoreRequestsNeeded",
        f"{_numbers(evidence)}: about {max(left, 1):,} more candidate requests until Pass at these "
        "rates.",
    )


def _numbers(evidence: CheckEvidence) -> str:
    plan = evidence.plan
    if plan.kind is Kind.LIMIT_QUANTILE:
        value = "-" if evidence.candidate is None else f"{evidence.candidate * 1000:.0f}ms"
        limit = format_duration(plan.limit)
        return f"p{plan.quantile * 100:g} {value} against {limit} ({evidence.n_c:,} requests)"
    slow = f" slower than {format_duration(evidence.worst_edge)}" if evidence.worst_edge else ""
    what = slow.strip() if slow else "failed"
    text = f"{percent(evidence.candidate)} {what} ({evidence.k_c:,} of {evidence.n_c:,})"
    if plan.kind is Kind.LIMIT_RATE:
        return f"{text} against a limit of {percent(plan.limit)}"
    if evidence.n_s == 0:
        return text
    return f"{text}, stable {percent(evidence.stable)} ({evidence.k_s:,} of {evidence.n_s:,})"


def percent(share: float | None) -> str:
    """Three digits, as people read a share; "-" for None."""
    if share is None:
        return "-"
    value = share * 100
    return f"{value:.3g}%" if value < 99.95 else f"{value:.0f}%"


def rounded(value: float | None) -> float | None:
    """Four digits, for the status."""
    return None if value is None else float(f"{value:.4g}")
