"""Is the traffic where it was asked to be? The VirtualService says; else the counted requests."""

from __future__ import annotations

from collections.abc import Mapping

from sluice.api.times import to_wire
from sluice.engine.draft import Draft

# Counted shares are a sample: how far they may be from the asked-for ones, in percent points.
_SHARE_TOLERANCE = 10.0


def arrived(draft: Draft, wanted: Mapping[str, int]) -> bool:
    """The gateway has these shares (percent by predictor; a missing one counts as 0)."""
    world = draft.inputs.world
    if world.routes is not None:
        ok = world.routes_agree and _same(world.routes, wanted)
    elif world.routes_problem and draft.inputs.observed_shares:
        shares = draft.inputs.observed_shares
        names = set(wanted) | set(shares)
        ok = all(abs(shares.get(n, 0.0) - wanted.get(n, 0)) <= _SHARE_TOLERANCE for n in names)
    else:
        ok = False
    if ok and draft.status.traffic.verified_at is None:
        draft.set(
            traffic=draft.status.traffic.model_copy(update={"verified_at": to_wire(draft.now)})
        )
    elif not ok and draft.status.traffic.verified_at is not None:
        draft.set(traffic=draft.status.traffic.model_copy(update={"verified_at": None}))
    return ok


def _same(routes: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    names = set(routes) | set(wanted)
    return all(routes.get(n, 0) == wanted.get(n, 0) for n in names)
