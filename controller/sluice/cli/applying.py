"""The wait before the wait: until Argo CD, Flux or a person has applied the revision meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.cli.following import Follower
from sluice.cli.waiting import template_revision
from sluice.clock import Clock
from sluice.errors import WaitTimeoutError
from sluice.kube.client import Client

Object = dict[str, Any]


@dataclass(frozen=True)
class Applied:
    """`object` is the ModelRollout as it was seen last, None: there is none. `late` says why the
    time was up, "" when the revision is the template's."""

    object: Object | None
    late: str = ""


def await_applied(
    client: Client,
    namespace: str,
    name: str,
    revision: str,
    *,
    seconds: float,
    clock: Clock,
    tell: Callable[[str], None],
    warn: Callable[[str], None],
) -> Applied:
    """Wait until the newest template is `revision`; the ModelRollout need not be there yet.

    What the status knows of that revision from earlier does not count. `tell` is given what is
    waited for, once for each template that is another.
    """
    follower = Follower(client, namespace, name=name, seconds=seconds, clock=clock, tell=warn)
    last, told = None, ""
    try:
        for change in follower.changes():
            last = change.object
            if last is not None and template_revision(last) == revision:
                return Applied(last)
            if (why := _not_yet(last, revision)) != told:
                told = why
                tell(f"waiting for it to be applied: {why}")
    except WaitTimeoutError:
        pass
    late = f"it was not applied within {seconds:g}s: {_not_yet(last, revision)}"
    return Applied(last, f"{late}. Look whether Argo CD or Flux has taken the commit in")


def _not_yet(obj: Object | None, revision: str) -> str:
    if obj is None:
        return f"there is no ModelRollout with revision {revision} yet"
    return f"the template is revision {template_revision(obj) or '-'}, not {revision}"
