"""RFC 3339 times on the wire, Unix seconds in Python."""

from __future__ import annotations

from datetime import UTC, datetime


def to_wire(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def from_wire(text: str | None) -> float | None:
    """Unix seconds of an RFC 3339 time; None for None or for what is no time."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
