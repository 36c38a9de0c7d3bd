"""Moments as they are typed: RFC 3339, `now`, or how long ago."""

from __future__ import annotations

from datetime import datetime

from sluice.api.base import parse_duration
from sluice.errors import UsageError


def moment(text: str, option: str, now: float) -> float:
    """Unix seconds of `2026-03-01T10:00:00Z`, `2h ago`, `90m` (ago) or `now`.

    `now` is what relative times count from. Raises UsageError.
    """
    asked = text.strip()
    if asked == "now":
        return now
    try:
        return now - parse_duration(asked.removesuffix("ago").strip())
    except ValueError:
        pass
    try:
        parsed = datetime.fromisoformat(asked.replace("Z", "+00:00"))
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        zone = ": the zone is missing, append Z for UTC" if parsed is not None else ""
        raise UsageError(
            f"{option} {text!r}: expected 2026-03-01T10:00:00Z or the like, '2h ago' or now{zone}"
        )
    return parsed.timestamp()
