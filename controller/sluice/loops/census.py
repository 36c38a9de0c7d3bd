"""How the rollouts stand, counted once a pulse for Sluice's own metrics.

Series are by namespace and reason, never by rollout: their number does not grow with what is rolled
out. Which rollout it is says `sluice list -A`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sluice.api.gates import Moment
from sluice.api.status import GateState, Phase
from sluice.api.times import from_wire
from sluice.loops.own_metrics import OwnMetrics

_JUDGED = {phase.value for phase in Phase if phase.judged}
_ACTIVE = {phase.value for phase in Phase if phase.active}


class Census:
    """`add` every ModelRollout, then `publish`. `now`: Unix seconds."""

    def __init__(self, now: float) -> None:
        self._now = now
        self.namespaces: set[str] = set()
        self.phases: Counter[str] = Counter({phase.value: 0 for phase in Phase})
        self.frozen = 0
        self.gated = 0
        self.stalled: Counter[tuple[str, ...]] = Counter()
        self.held: Counter[tuple[str, ...]] = Counter()
        self.paused: Counter[tuple[str, ...]] = Counter()
        self.drifted: Counter[tuple[str, ...]] = Counter()
        self.decayed: Counter[tuple[str, ...]] = Counter()
        self.unwatched: Counter[tuple[str, ...]] = Counter()
        self.retrainings: Counter[tuple[str, ...]] = Counter()
        self.held_seconds: dict[tuple[str, ...], float] = {}
        self.frozen_seconds: dict[tuple[str, ...], float] = {}
        self.rollout_seconds: dict[tuple[str, ...], float] = {}

    def add(self, obj: Mapping[str, Any]) -> None:
        """Count one ModelRollout, as the API server has it."""
        namespace = str(obj["metadata"].get("namespace", ""))
        self.namespaces.add(namespace)
        status = obj.get("status") or {}
        phase = status.get("phase", Phase.IDLE.value)
        self.phases[phase] += 1
        self.gated += any(_keeps_waiting(gate) for gate in status.get("gates") or ())
        conditions = {c.get("type"): c for c in status.get("conditions") or ()}
        stalled = conditions.get("Stalled") or {}
        if stalled.get("status") == "True":
            self.stalled[(namespace, str(stalled.get("reason", "")))] += 1
        measured = conditions.get("MetricsAvailable") or {}
        if phase in _JUDGED and measured.get("status") == "False":
            held = (namespace, str(measured.get("reason", "")))
            self.held[held] += 1
            self._longest(self.held_seconds, held, measured.get("lastTransitionTime"))
        if monitored := status.get("monitoring"):
            self._watched(namespace, monitored, conditions)
        if pause := status.get("pause"):
            self.paused[(namespace, str(pause.get("reason", "")))] += 1
        if freeze := status.get("freeze"):
            self.frozen += 1
            if freeze.get("announced"):  # not while a candidate is starting
                self._longest(self.frozen_seconds, (namespace,), freeze.get("since"))
        if phase in _ACTIVE:
            self._longest(self.rollout_seconds, (namespace,), status.get("startedAt"))

    def _watched(
        self, namespace: str, monitored: Mapping[str, Any], conditions: Mapping[Any, Any]
    ) -> None:
        blind = set()
        for kind, into in (("Drifted", self.drifted), ("Decayed", self.decayed)):
            said = conditions.get(kind) or {}
            into[(namespace,)] += said.get("status") == "True"
            if said.get("status") == "Unknown":
                blind.add(str(said.get("reason", "")))
        for reason in blind:
            self.unwatched[(namespace, reason)] += 1
        if entries := monitored.get("retrainings"):
            self.retrainings[(namespace, str(entries[0].get("state", "")))] += 1

    def publish(self, metrics: OwnMetrics) -> None:
        """Replace what the metrics say."""
        for namespace in self.namespaces:
            # A counter that begins with 1 has not increased, as Prometheus sees it.
            for entered in Phase:
                metrics.decisions.labels(namespace, entered.value)
        for phase, count in self.phases.items():
            metrics.rollouts.labels(phase).set(count)
        metrics.frozen.set(self.frozen)
        metrics.gated.set(self.gated)
        metrics.stalled.replace(self.stalled)
        metrics.held.replace(self.held)
        metrics.paused.replace(self.paused)
        metrics.drifted.replace(self.drifted)
        metrics.decayed.replace(self.decayed)
        metrics.unwatched.replace(self.unwatched)
        metrics.retrainings.replace(self.retrainings)
        metrics.held_seconds.replace(self.held_seconds)
        metrics.frozen_seconds.replace(self.frozen_seconds)
        metrics.rollout_seconds.replace(self.rollout_seconds)

    def _longest(
        self, into: dict[tuple[str, ...], float], key: tuple[str, ...], since: str | None
    ) -> None:
        at = from_wire(since)
        if at is not None:
            into[key] = max(into.get(key, 0.0), self._now - at)


def _keeps_waiting(gate: Mapping[str, Any]) -> bool:
    return bool(gate.get("state") != GateState.OPEN and gate.get("at") != Moment.AFTER_END)
