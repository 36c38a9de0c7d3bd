"""Is the traffic where it was asked to be? The VirtualService says; else the counted requests."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sluice.api.times import to_wire
from sluice.engine.draft import Draft

# Counted requests are a sample: how many standard deviations they may be off (one in a thousand
# looks is beyond that, and only waits for the next one).
_DEVIATIONS = 3.3
# Requests that were under way while the gateway changed its mind, of those to a predictor at 0%.
_STRAY = 0.01


def arrived(draft: Draft, wanted: Mapping[str, int]) -> bool:
    """The gateway has these shares (percent by predictor; a missing one counts as 0)."""
    world = draft.inputs.world
    if world.routes is not None:
        ok = world.routes_agree and _same(world.routes, wanted)
    else:
        ok = bool(world.routes_problem) and counted_as(wanted, draft.inputs.counted)
    if ok and draft.status.traffic.verified_at is None:
        draft.set(
            traffic=draft.status.traffic.model_copy(update={"verified_at": to_wire(draft.now)})
        )
    elif not ok and draft.status.traffic.verified_at is not None:
        draft.set(traffic=draft.status.traffic.model_copy(update={"verified_at": None}))
    return ok


def counted_as(wanted: Mapping[str, int], requests: Mapping[str, float]) -> bool:
    """Whether counted requests can be a sample of these shares in percent.

    Who is to have a share must have had a request: a candidate that nobody asked is not verified.
    """
    total = sum(requests.values())
    if not total:
        return False
    for name in set(wanted) | set(requests):
        share, seen = wanted.get(name, 0) / 100, requests.get(name, 0.0) / total
        if share and not seen:
            return False
        spread = math.sqrt(share * (1 - share) / total)
        slack = _DEVIATIONS * spread + 1 / total if 0 < share < 1 else _STRAY
        if abs(seen - share) > slack:
            return False
    return True


def shares_of(requests: Mapping[str, float]) -> dict[str, int] | None:
    """Counted requests as whole percents; None without any."""
    total = sum(requests.values())
    return {name: round(100 * n / total) for name, n in requests.items()} if total else None


def _same(routes: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    names = set(routes) | set(wanted)
    return all(routes.get(n, 0) == wanted.get(n, 0) for n in names)
