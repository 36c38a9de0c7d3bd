"""The pulse: read the metrics for all active rollouts together, queue those that changed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from sluice.api.rollout import parse_rollout
from sluice.api.status import Phase, RolloutStatus
from sluice.clock import Clock
from sluice.errors import SpecError
from sluice.loops.census import Census
from sluice.loops.judging import Comparison, Judging, comparison_of
from sluice.loops.own_metrics import OwnMetrics
from sluice.loops.policies import Policies
from sluice.loops.stores import Object, OwnWrites, spread

log = structlog.get_logger()


class Pulse:
    """Runs in one thread while this process leads."""

    def __init__(
        self,
        *,
        clock: Clock,
        rollouts: OwnWrites,
        policies: Policies,
        judging: Judging,
        queue: Callable[[str], None],
        metrics: OwnMetrics,
        interval: float,
        status_interval: float,
    ) -> None:
        self._clock = clock
        self._rollouts = rollouts
        self._policies = policies
        self._judging = judging
        self._queue = queue
        self._metrics = metrics
        self._interval = interval
        self._status_interval = status_interval
        self._refreshed: dict[str, float] = {}
        self._known: dict[str, tuple[tuple[str, str, str], Comparison]] = {}
        self.last = clock.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Beat until `stop`; a beat that takes too long makes the next one late, and says so."""
        due = self._clock.monotonic()
        while not stop.is_set():
            late = max(0.0, self._clock.monotonic() - due)
            self._metrics.pulse_late.set(late)
            try:
                self.beat()
            except Exception as error:  # the pulse must not die of one odd object
                log.exception("pulse failed")
                self._judging.fail(f"the pulse failed: {error}")
            due = max(due + self._interval, self._clock.monotonic())
            self._clock.wait(stop, due - self._clock.monotonic())

    def beat(self) -> None:
        """One pulse."""
        began = self._clock.monotonic()
        now = self._clock.now()
        comparisons = self.comparisons(now)
        self._judging.follow(comparisons, now)
        changed, queries = self._judging.pulse(now)
        if queries:
            self._metrics.last_pulse.set(now)
        self._metrics.unreadable.set(1.0 if self._judging.problem else 0.0)
        wanted = changed | self._stale({c.key for c in comparisons}, began)
        # Harm is answered before numbers are written down, however many rollouts changed.
        for key in sorted(wanted, key=self._judging.harmed, reverse=True):
            self._queue(key)
        self.last = began
        self._metrics.pulse_seconds.observe(self._clock.monotonic() - began)

    def _stale(self, keys: set[str], now: float) -> set[str]:
        """Rollouts whose numbers in the status are due for a refresh."""
        for key in self._refreshed.keys() - keys:
            del self._refreshed[key]
        for key in keys - self._refreshed.keys():
            # Spread: rollouts that began together must not all be written in one pulse.
            self._refreshed[key] = now - spread(key) * self._status_interval
        due = {key for key in keys if now - self._refreshed[key] >= self._status_interval}
        self._refreshed.update(dict.fromkeys(due, now))
        return due

    def comparisons(self, now: float) -> list[Comparison]:
        """What has to be judged, from the statuses as they stand."""
        census = Census(now)
        found = []
        for obj in self._rollouts.values():
            census.add(obj)
            phase = (obj.get("status") or {}).get("phase")
            if phase in _JUDGED and (comparison := self._comparison(obj, now)):
                found.append(comparison)
        running = {comparison.key for comparison in found}
        for key in self._known.keys() - running:
            del self._known[key]
        census.publish(self._metrics)
        return found

    def _comparison(self, obj: Object, now: float) -> Comparison | None:
        """As `_compare`, which is asked again only when the rollout or its policy has changed."""
        meta = obj["metadata"]
        key = f"{meta.get('namespace', '')}/{meta['name']}"
        own = str(meta.get("resourceVersion", ""))
        version = (str(meta.get("uid", "")), own, self._policies.version(obj))
        known = self._known.get(key)
        if own and known is not None and known[0] == version:
            return known[1]
        comparison = self._compare(obj, now)
        if comparison is not None:
            self._known[key] = (version, comparison)
        return comparison

    def _compare(self, obj: Object, now: float) -> Comparison | None:
        try:
            rollout = parse_rollout(obj)
            policy, _ = self._policies.of(rollout)
        except SpecError:
            return None  # the reconcile loop says so in the status
        status: RolloutStatus = rollout.status
        return comparison_of(
            rollout.key,
            rollout.deployment_name,
            rollout.namespace,
            rollout.uid,
            status,
            policy,
            now,
        )


_JUDGED = {phase.value for phase in Phase if phase.judged}
