"""What a threshold on somebody's query means as a check, as far as that can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sluice.api.base import format_duration

Object = dict[str, Any]
_COMPARISON = re.compile(
    r"^\s*(?:asFloat\()?\s*(?:result|default\(result,[^)]*\))(?:\[0\])?\s*\)?"
    r"\s*(>=|<=|>|<)\s*([0-9]*\.?[0-9]+)\s*$"
)
_QUANTILE = re.compile(r"histogram_quantile\(\s*(0?\.[0-9]+)")
_FAILURES = re.compile(r"5\.\.|5xx|5\[0-9\]|\b50[0-9]|error|fail|success", re.IGNORECASE)
_MOST = 0.999
_LEAST = 0.0001


def threshold(metric: Mapping[str, Any]) -> tuple[str, float] | None:
    """What must hold: (">" or "<", number); None where the condition is not such a comparison."""
    for key, turned in (("successCondition", False), ("failureCondition", True)):
        found = _COMPARISON.match(str(metric.get(key) or ""))
        if found:
            above = found[1].startswith(">") is not turned
            return (">" if above else "<"), float(found[2])
    return None


def check_of_query(name: str, query: str, must: tuple[str, float]) -> Object | None:
    """A check with the same limit on Sluice's own metric; None where it cannot be told."""
    direction, number = must
    quantile = _QUANTILE.search(query)
    if quantile and direction == "<":
        # A histogram that is called *_milliseconds is the exception among Prometheus' own.
        seconds = number / 1000 if "millisecond" in query or number > 60 else number
        return latency_limit(name, float(quantile[1]), seconds)
    if quantile or not _FAILURES.search(query):
        return None
    share = number / 100 if number > 1 else number
    if direction == ">" and share > 0.5:
        return error_limit(name, 1 - share)
    if direction == "<" and share < 0.5:
        return error_limit(name, share)
    return None


def error_limit(name: str, share: float) -> Object:
    """An error-rate check with an absolute limit."""
    bounded = min(max(share, _LEAST), _MOST)
    return {
        "name": check_name(name),
        "metric": "error-rate",
        "limit": {"max": float(f"{bounded:.4g}")},
    }


def latency_limit(name: str, quantile: float, seconds: float) -> Object:
    """A latency check with an absolute limit."""
    limit = {"quantile": quantile, "max": format_duration(max(seconds, 0.001))}
    return {"name": check_name(name), "metric": "latency", "limit": limit}


def check_name(text: str) -> str:
    """A name that a check may have."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
    return name or "check"


def different_names(checks: list[Object]) -> list[Object]:
    """The checks with a number where two have one name."""
    seen: dict[str, int] = {}
    for check in checks:
        count = seen[check["name"]] = seen.get(check["name"], 0) + 1
        if count > 1:
            check["name"] = f"{check['name'][:60]}-{count}"
    return checks
