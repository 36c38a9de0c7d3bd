"""The shares in a VirtualService, and the guarded patch that sets them. Pure.

Seldon writes one rule for REST and one for gRPC. A weight of 0 is written by leaving it out, but a
single route without a weight has everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.seldon.objects import Frozen, Json


def parse_routes(virtual_service: Frozen) -> tuple[dict[str, int] | None, bool]:
    """Shares by predictor (subset) in percent, and whether every rule has the same.

    The shares are the first rule's. None when no rule has routes.
    """
    rules = [_shares(rule) for rule in _rules(virtual_service) if rule.get("route")]
    if not rules:
        return None, True
    first = {name: share for name, share in rules[0].items() if share}
    agree = all({n: s for n, s in rule.items() if s} == first for rule in rules)
    return rules[0], agree


def parse_mirrors(virtual_service: Frozen) -> dict[str, int]:
    """To which predictor (subset) requests are copied, and how many percent of them.

    {} unless every rule with routes says the same: then the copies of REST or of gRPC are missing.
    """
    rules = [_mirror(rule) for rule in _rules(virtual_service) if rule.get("route")]
    return rules[0] if rules and all(rule == rules[0] for rule in rules) else {}


def route_patch(virtual_service: Frozen, sdep: str, weights: Mapping[str, int]) -> list[Json]:
    """Operations that give every rule these shares; [] when it has them.

    Routes to predictors that are not in `weights` are taken out, as the operator does it itself.
    Each rule's subsets are tested first: an answer of 422 means that the operator was first. Raises
    ValueError when a predictor with a share has no route in some rule.
    """
    ops: list[Json] = []
    for i, rule in enumerate(_rules(virtual_service)):
        if rule.get("route"):
            ops += _rule_patch(i, rule, sdep, weights)
    return ops


def _rule_patch(index: int, rule: Frozen, sdep: str, weights: Mapping[str, int]) -> list[Json]:
    routes = rule["route"]
    subsets = [_subset(route) for route in routes]
    missing = [name for name, weight in weights.items() if weight and name not in subsets]
    if missing:
        raise ValueError(
            f"rule {index} of the VirtualService {sdep} has no route to {', '.join(missing)}, only "
            f"to {', '.join(subsets)}"
        )
    shares = _shares(rule)
    same = {n: s for n, s in shares.items() if s} == {n: w for n, w in weights.items() if w}
    if same:
        return []
    path = f"/spec/http/{index}/route"
    ops: list[Json] = [
        {"op": "test", "path": f"{path}/{j}/destination/subset", "value": subset}
        for j, subset in enumerate(subsets)
    ]
    for j, (route, subset) in enumerate(zip(routes, subsets, strict=True)):
        wanted = weights.get(subset)
        if wanted and route.get("weight") != wanted:
            ops.append({"op": "add", "path": f"{path}/{j}/weight", "value": wanted})
        elif wanted == 0 and route.get("weight"):
            ops.append({"op": "remove", "path": f"{path}/{j}/weight"})
    spare = [j for j, subset in enumerate(subsets) if subset not in weights]
    return ops + [{"op": "remove", "path": f"{path}/{j}"} for j in reversed(spare)]


def _rules(virtual_service: Frozen) -> list[Json]:
    return list((virtual_service.get("spec") or {}).get("http") or [])


def _shares(rule: Frozen) -> dict[str, int]:
    routes = rule["route"]
    shares: dict[str, int] = {}
    for route in routes:
        weight = route.get("weight")
        if weight is None:
            weight = 100 if len(routes) == 1 else 0
        subset = _subset(route)
        shares[subset] = shares.get(subset, 0) + int(weight)
    return shares


def _mirror(rule: Frozen) -> dict[str, int]:
    if not rule.get("mirror"):
        return {}
    # Without a percentage everything is copied.
    percent = (rule.get("mirrorPercentage") or {}).get("value", 100)
    return {_subset({"destination": rule["mirror"]}): round(percent)}


def _subset(route: Frozen) -> str:
    destination: Mapping[str, Any] = route.get("destination") or {}
    return str(destination.get("subset") or destination.get("host") or "")
