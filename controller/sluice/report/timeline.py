"""Rollouts as bars over time: inline SVG, made by hand, so that it needs no plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

_COLORS = {
    "Promoted": "#1d7f45",
    "RolledBack": "#b3261e",
    "Aborted": "#b8860b",
    "Superseded": "#8a8f98",
    "InProgress": "#3b6fb6",
}
_WIDTH, _ROW, _LEFT, _TOP, _TICKS = 1000, 26, 190, 30, 5
_LEAST_WIDTH = 4.0


@dataclass(frozen=True)
class Bar:
    """One rollout; times in Unix seconds, `outcome` as in the history, or InProgress."""

    label: str
    outcome: str
    began: float
    ended: float
    title: str = ""


def timeline(bars: Sequence[Bar]) -> str:
    """The bars under one another, oldest first; "" without any."""
    if not bars:
        return ""
    first, last = min(bar.began for bar in bars), max(bar.ended for bar in bars)
    seconds = max(last - first, 1.0)
    room = _WIDTH - _LEFT - 10

    def x(at: float) -> float:
        return _LEFT + room * (at - first) / seconds

    height = _TOP + _ROW * len(bars) + 6
    parts = [
        f"<svg viewBox='0 0 {_WIDTH} {height}' xmlns='http://www.w3.org/2000/svg' "
        "font-family='system-ui,sans-serif' font-size='12' role='img'>"
    ]
    for tick in range(_TICKS):
        at = first + seconds * tick / (_TICKS - 1)
        anchor = "start" if tick == 0 else "end" if tick == _TICKS - 1 else "middle"
        parts.append(
            f"<line x1='{x(at):.1f}' y1='{_TOP - 8}' x2='{x(at):.1f}' y2='{height}' "
            f"stroke='#e4e4e4'/><text x='{x(at):.1f}' y='14' text-anchor='{anchor}' "
            f"fill='#555'>{_clock(at, seconds)}</text>"
        )
    for row, bar in enumerate(bars):
        y = _TOP + row * _ROW
        width = max(_LEAST_WIDTH, x(bar.ended) - x(bar.began))
        left = min(x(bar.began), _WIDTH - 10 - width)
        color = _COLORS.get(bar.outcome, "#8a8f98")
        parts.append(
            f"<text x='{_LEFT - 10}' y='{y + 15}' text-anchor='end'>{escape(bar.label)}</text>"
            f"<rect x='{left:.1f}' y='{y + 3}' width='{width:.1f}' height='16' rx='3' "
            f"fill='{color}'><title>{escape(bar.title or bar.label)}</title></rect>"
        )
    return "".join([*parts, "</svg>"])


def _clock(at: float, seconds: float) -> str:
    form = "%m-%d %H:%M" if seconds > 86_400 else "%H:%M:%S" if seconds < 3600 else "%H:%M"
    return datetime.fromtimestamp(at, UTC).strftime(form)
