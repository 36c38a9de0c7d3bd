"""A preflight in the report: its checks, what labels became, the worst pairs. Pure."""

from __future__ import annotations

from sluice.api.preflight import PreflightCheck, PreflightState, PreflightStatus
from sluice.report import page as html

_GOOD, _BAD = (PreflightState.PASSED,), (PreflightState.FAILED,)


def preflight(found: PreflightStatus) -> str:
    """The part of the page, without a heading."""
    shown = html.mark(found.state.value, good=found.state in _GOOD)
    rows = [
        ["State", shown if found.state in (*_GOOD, *_BAD) else found.state.value],
        ["Revisions", f"{found.revision} against {found.stable}"],
        ["Why", found.message or "-"],
        ["Requests", _requests(found)],
        ["Began", found.started_at],
        ["Ended", found.ended_at or "-"],
    ]
    parts = [html.table(["", ""], rows)]
    if found.checks:
        headers = ["Check", "Verdict", "Share", "Limits", "Wanted", "Of", "Why"]
        parts.append(html.table(headers, [_check(one) for one in found.checks]))
    if found.answers:
        headers = ["Side", "Failed alone", "p50 ms", "p95 ms", "p99 ms"]
        sides = [
            [name, str(one.failed), *(_value(v) for v in (one.p50, one.p95, one.p99))]
            for name, one in found.answers.items()
        ]
        parts.append(html.table(headers, sides))
    if found.moved:
        moved = [[one.stable, one.candidate, f"{one.rows:,}"] for one in found.moved]
        parts.append(html.table(["The stable says", "The candidate says", "Rows"], moved))
    if found.examples:
        headers = ["Line", "Why", "Request", "Stable", "Candidate"]
        worst = [
            [str(one.line), one.why, one.request, one.stable, one.candidate]
            for one in found.examples
        ]
        parts += [
            html.paragraph("The pairs that differ most, cut after 400 characters:"),
            html.table(headers, worst),
        ]
    return "\n".join(parts)


def _requests(found: PreflightStatus) -> str:
    if found.requests is None:
        return "-"
    sha = f", SHA-256 of the file {found.requests_hash}" if found.requests_hash else ""
    return f"{found.requests:,} with {found.rows or 0:,} rows{sha}"


def _check(one: PreflightCheck) -> list[str]:
    verdict = one.verdict.value
    good, bad = verdict == "Pass", verdict == "Harm"
    aside = " (not waited for)" if one.harm_only else ""
    known = one.low is not None and one.high is not None
    return [
        one.name,
        html.mark(verdict, good=good) if good or bad else verdict + aside,
        _percent(one.share),
        f"{_percent(one.low)} to {_percent(one.high)}" if known else "-",
        _percent(one.wanted),
        f"{one.counted:,}",
        one.message,
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}%"


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
