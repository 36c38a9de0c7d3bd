"""A check as a person wants to see it: values, what is too much, how far the evidence is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from sluice.api.base import format_duration, parse_duration
from sluice.api.policy import CanaryPolicySpec, Check, Metric
from sluice.api.status import CheckStatus, RolloutStatus, Verdict
from sluice.api.times import from_wire
from sluice.cli.bars import bar, span
from sluice.cli.output import VERDICT_STYLES


class RateMeter:
    """The candidate's requests a second, from statuses as they come."""

    def __init__(self) -> None:
        self._revision = ""
        self._last: tuple[float, int] | None = None
        self._rate: float | None = None

    def look(self, status: RolloutStatus) -> float | None:
        """Requests a second over the last two statuses with numbers, else since it was ready."""
        if status.candidate is None or status.checkpoint is None:
            return None
        if status.candidate.revision != self._revision:
            self._revision, self._last, self._rate = status.candidate.revision, None, None
        samples = max((check.candidate_samples for check in status.checks), default=0)
        at = status.checkpoint.at
        if self._last is not None and at > self._last[0] and samples >= self._last[1]:
            self._rate = (samples - self._last[1]) / (at - self._last[0])
        if self._last is None or at > self._last[0]:
            self._last = (at, samples)
        if self._rate is not None:
            return self._rate
        ready = from_wire(status.ready_at)
        return samples / (at - ready) if ready is not None and at > ready else None


def checks_view(
    status: RolloutStatus, policy: CanaryPolicySpec | None, rate: float | None
) -> RenderableType:
    """All checks, four lines each, for 80 columns and more."""
    known: Mapping[str, Check] = {check.name: check for check in policy.checks} if policy else {}
    parts: list[RenderableType] = []
    for check in status.checks:
        spec = known.get(check.name)
        head = Text()
        head.append(check.name, style="bold")
        head.append("  ")
        head.append(check.verdict.value, style=VERDICT_STYLES.get(check.verdict.value, ""))
        head.append(f"  {values(check, spec)}")
        parts.append(head)
        told = Text(check.message or check.reason, style="dim")
        for line in (Text(_evidence(check)), Text(_requests(check, rate)), told):
            parts.append(Padding(line, (0, 0, 0, 2), expand=False))
    return Group(*parts)


def values(check: CheckStatus, spec: Check | None) -> str:
    """``1.2% (stable 0.5%; fine to 0.5%, too much from 1%)``, or against the limit.

    Of a check of answers, what it is the share of comes first: ``virginica 12% (stable 31%; ...)``.
    """
    shown = value(check.candidate, spec)
    if check.about is not None and check.candidate is not None:
        shown = f"{check.about} {shown}"
    words = []
    if check.stable is not None:
        words.append(f"stable {value(check.stable, spec)}")
    if threshold := _threshold(check, spec):
        words.append(threshold)
    return f"{shown} ({'; '.join(words)})" if words else shown


def value(number: float | None, spec: Check | None) -> str:
    """A share as percent; a latency of a quantile limit as milliseconds."""
    if number is None:
        return "-"
    if spec is not None and spec.limit is not None and spec.limit.quantile is not None:
        return f"{number * 1000:.4g}ms"
    return f"{number * 100:.3g}%"


def _threshold(check: CheckStatus, spec: Check | None) -> str:
    if spec is None:
        return ""
    if spec.limit is not None:
        if isinstance(spec.limit.max, str):
            quantile = (spec.limit.quantile or 0) * 100
            return f"limit p{quantile:g} {format_duration(parse_duration(spec.limit.max))}"
        return f"limit {spec.limit.max * 100:.3g}%"
    if spec.difference is not None:
        apart = "" if spec.metric is Metric.FEEDBACK else " either way"
        points = [spec.difference.acceptable * 100, spec.difference.unacceptable * 100]
        return f"fine to {points[0]:.3g} points{apart}, too much from {points[1]:.3g}"
    if spec.compare is None or check.stable is None:
        return ""
    fine = max(spec.compare.acceptable_ratio * check.stable, spec.compare.negligible_below)
    bad = max(spec.compare.unacceptable_ratio * check.stable, spec.compare.negligible_below)
    return f"fine to {fine * 100:.3g}%, too much from {bad * 100:.3g}%"


def _evidence(check: CheckStatus) -> str:
    for_pass = _gauge(check.evidence, check.needed)
    return f"for Pass {for_pass}   for Harm {_gauge(check.harm_evidence, check.harm_needed)}"


def _requests(check: CheckStatus, rate: float | None) -> str:
    """The candidate's requests and the stable's; what is missing, and how long that may take."""
    text = f"requests {check.candidate_samples:,}, stable {check.stable_samples:,}"
    if check.verdict in (Verdict.PASS, Verdict.HARM) or check.requests_left is None:
        return text
    text += f"; {check.requests_left:,} to go"
    return text + (f", about {span(check.requests_left / rate)} at {rate:.3g}/s" if rate else "")


def _gauge(evidence: float | None, needed: float | None) -> str:
    numbers = "-" if evidence is None or needed is None else f"{evidence:.2f} of {needed:.2f}"
    return f"{bar(evidence, needed)} {numbers}"


def check_numbers(check: CheckStatus) -> dict[str, Any]:
    """Every number of a check, for people who want them all."""
    return {key: value for key, value in check.to_dict().items() if key not in ("name", "message")}
