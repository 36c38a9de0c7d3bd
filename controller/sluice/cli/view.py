"""One rollout as a person wants to see it: phase, weights, checks with numbers, what is next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from sluice.api.base import format_duration
from sluice.api.status import CheckStatus, RolloutStatus
from sluice.api.times import from_wire
from sluice.cli.output import borderless, styled


def age(stamp: str | None, now: float | None = None) -> str:
    """How long ago, in at most two units, as kubectl writes it."""
    then = from_wire(stamp)
    if then is None:
        return "-"
    seconds = int((datetime.now(UTC).timestamp() if now is None else now) - then)
    if seconds < 120:
        return f"{max(0, seconds)}s"
    if seconds < 7200:
        return format_duration(seconds - seconds % 60 if seconds >= 600 else seconds)
    return format_duration(seconds - seconds % 3600)


def list_row(obj: dict[str, Any], *, with_namespace: bool) -> list[str]:
    """One line of `sluice list`."""
    status = RolloutStatus.model_validate(obj.get("status") or {})
    meta = obj["metadata"]
    phase = status.phase.value + (" (paused)" if status.pause else "")
    step = f"{status.step.index + 1}/{status.step.total}" if status.step else "-"
    candidate = status.candidate or status.rejected
    weight = "-"
    if status.candidate is not None:
        weight = f"{status.traffic.desired.get(status.candidate.predictor, 0)}%"
    row = [
        meta["name"],
        phase,
        step,
        weight,
        status.verdict.value if status.verdict else "-",
        status.stable.revision if status.stable else "-",
        candidate.revision if candidate else "-",
        age(meta.get("creationTimestamp")),
    ]
    return [meta["namespace"], *row] if with_namespace else row


def details(obj: dict[str, Any]) -> RenderableType:
    """The whole picture of one rollout."""
    status = RolloutStatus.model_validate(obj.get("status") or {})
    meta = obj["metadata"]
    head = borderless("", "")
    head.show_header = False
    head.add_row("Name", f"{meta['namespace']}/{meta['name']}")
    phase = f"[bold]{status.phase.value}[/] for {age(status.phase_started_at)}"
    if status.pause:
        phase += f"  [yellow]paused: {status.pause.message}[/]"
    head.add_row("Phase", phase)
    if status.message:
        head.add_row("Now", Text(status.message))
    if status.stable:
        head.add_row("Stable", _revision(status, "stable"))
    if status.candidate:
        head.add_row("Candidate", _revision(status, "candidate"))
    elif status.rejected:
        head.add_row("Rejected", _revision(status, "rejected"))
    if status.step:
        step = f"{status.step.index + 1} of {status.step.total} at {status.step.weight}%"
        hold = from_wire(status.step.hold_until)
        left = hold - datetime.now(UTC).timestamp() if hold else 0
        head.add_row("Step", step + (f", hold for {left:.0f}s more" if left > 0 else ""))
    if status.shadow and not status.shadow.ended_at:
        since = status.shadow.verified_at
        copied = f"copied since {age(since)}" if since else "not copied yet"
        head.add_row("Shadow", f"{status.shadow.percent}% of the requests, {copied}")
    if status.preview:
        head.add_row("Preview", status.preview)
    head.add_row("Policy", status.policy or "-")
    if status.freeze:
        head.add_row("Frozen", Text(f"{status.freeze.message}, since {age(status.freeze.since)}"))
    parts: list[RenderableType] = [head]
    if status.checks:
        parts += ["", checks_table(status.checks)]
    if status.history:
        table = borderless("REVISION", "OUTCOME", "REASON", "ENDED", "WHY")
        for entry in status.history[:5]:
            table.add_row(
                entry.revision,
                entry.outcome,
                entry.reason,
                age(entry.ended_at),
                Text(entry.message),
            )
        parts += ["", "[bold]History[/]", table]
    return Group(*parts)


def checks_table(checks: list[CheckStatus]) -> RenderableType:
    """Each check with its numbers: what was seen, and how much evidence of how much needed."""
    table = borderless(
        "CHECK", "VERDICT", "CANDIDATE", "STABLE", "REQUESTS", "FOR PASS", "FOR HARM", "WHY"
    )
    for check in checks:
        table.add_row(
            check.name,
            styled(check.verdict.value),
            number(check.candidate),
            number(check.stable),
            f"{check.candidate_samples} / {check.stable_samples}",
            _progress(check.evidence, check.needed),
            _progress(check.harm_evidence, check.harm_needed),
            Text(check.message or check.reason),
        )
    return table


def number(value: float | None) -> str:
    """A share or seconds, short."""
    return "-" if value is None else f"{value:.4g}"


def _progress(evidence: float | None, needed: float | None) -> str:
    if evidence is None or needed is None:
        return "-"
    return f"{evidence:.2f} of {needed:.2f}"


def _revision(status: RolloutStatus, which: str) -> Text:
    revision = getattr(status, which)
    desired = status.traffic.desired.get(revision.predictor, 0)
    observed = (status.traffic.observed or {}).get(revision.predictor)
    seen = "not readable" if status.traffic.observed is None else f"{observed or 0}%"
    return Text(
        f"{revision.revision}  {desired}% wanted, {seen} observed  {', '.join(revision.images)}"
    )
