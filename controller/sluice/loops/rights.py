"""Which of its rights the controller lacks: said in the log, in /readyz and in a metric.

A missing right shows late by itself (the right to delete, at a rollback), and then as a refusal
among retries. So every right of the shipped roles is asked for at the start, from time to time,
and at once when the API server refuses something.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from sluice.clock import Clock
from sluice.errors import ApiError
from sluice.kube.client import Client
from sluice.kube.rbac import Right, can_i
from sluice.kube.roles import Granted

log = structlog.get_logger()

# Seconds until the next look while something is missing, if the usual interval is longer.
SOON = 10.0
_SHOWN = 3


class Shown(Protocol):
    """Where the missing rights are shown: one series each."""

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None: ...


class Rights:
    """`missing` is what was found last; `run` keeps it true until stopped."""

    def __init__(
        self,
        client: Client,
        wanted: Sequence[Granted],
        *,
        clock: Clock,
        gauge: Shown,
        interval: float = 300.0,
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._clock = clock
        self._gauge = gauge
        self._interval = interval
        self._look = threading.Event()
        self.missing: list[Granted] = []

    def run(self, stop: threading.Event) -> None:
        """Look at once, then again and again. Never raises."""
        while not stop.is_set():
            self._look.clear()
            try:
                self.look()
            except ApiError as error:
                # Nothing was learnt; what was known before stands.
                log.warning("the rights cannot be looked at", error=str(error))
            self._pause(stop)

    def look_again(self) -> None:
        """The API server refused something: find out what is missing now, not at the next look."""
        self._look.set()

    def look(self) -> None:
        """Ask for every right. Raises ApiError when the server does not answer."""
        found = [one for one in self._wanted if not can_i(self._client, one.right)]
        before = set(map(str, self.missing))
        for one in found:
            if str(one) not in before:
                tell = log.warning if one.optional else log.error
                tell("RightMissing", **_fields(one), message=f"may not {one}")
        for one in self.missing:
            if one not in found:
                log.info("RightGranted", **_fields(one), message=f"may {one.right} again")
        self.missing = found
        self._gauge.replace(
            {(*_fields(one).values(), str(one.optional).lower()): 1 for one in found}
        )

    def problem(self) -> str:
        """Why no work can be done as it should be; "" when only optional rights are missing."""
        needed = [one for one in self.missing if not one.optional]
        more = f", and {len(needed) - _SHOWN} more" if len(needed) > _SHOWN else ""
        said = "; ".join(str(one) for one in needed[:_SHOWN])
        return f"may not {said}{more}" if needed else ""

    def _pause(self, stop: threading.Event) -> None:
        seconds = min(SOON, self._interval) if self.missing else self._interval
        until = self._clock.monotonic() + seconds
        while not stop.is_set() and self._clock.monotonic() < until:
            if self._look.is_set() and not self.missing:
                return
            self._clock.wait(stop, min(1.0, until - self._clock.monotonic()))


def _fields(one: Granted) -> dict[str, str]:
    right: Right = one.right
    kind = right.resource
    resource = f"{kind.plural}/{right.subresource}" if right.subresource else kind.plural
    return {
        "verb": right.verb,
        "resource": resource,
        "group": kind.group,
        "namespace": right.namespace or "",
        "role": one.role,
    }
