"""Numbers as short bars of plain characters, which every terminal and log can show."""

from __future__ import annotations

from collections.abc import Sequence

from sluice.api.base import format_duration

BAR_WIDTH = 10


def steps_bar(weights: Sequence[int], index: int | None) -> str:
    """The steps with the present one in brackets: ``5 | [20] | 50``."""
    return " | ".join(f"[{w}]" if i == index else str(w) for i, w in enumerate(weights))


def bar(value: float | None, whole: float | None, width: int = BAR_WIDTH) -> str:
    """How much of `whole` there is: ``####------``. Below nothing counts as nothing."""
    if value is None or not whole or whole <= 0:
        return "-" * width
    filled = max(0, min(width, int(width * value / whole)))
    return "#" * filled + "-" * (width - filled)


def span(seconds: float) -> str:
    """A time left, in at most two units."""
    whole = max(0, round(seconds))
    if whole >= 86_400:
        return format_duration(whole - whole % 3600)
    if whole >= 3600:
        return format_duration(whole - whole % 60)
    return format_duration(whole)
