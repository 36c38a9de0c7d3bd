"""The monitoring's memory and beat: all monitored stables together, a few queries for them all.

It runs beside the pulse, in a thread and with an interval of its own, since drift takes minutes and
hours. A rollout without `spec.monitoring` costs nothing here. Only the beat's thread touches
the watches; reconcile workers read what it has published (`seen`), so no query keeps one waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from sluice.api.monitoring import Measure
from sluice.api.monitoring import Monitoring as Spec
from sluice.api.rollout import Rollout, parse_rollout
from sluice.api.status import RolloutStatus
from sluice.clock import Clock
from sluice.engine.monitoring import CHECKPOINT_SECONDS, Answer, Blind, Seen, essence, findings
from sluice.errors import MetricsError, SpecError
from sluice.evidence.watching import DriftWatches
from sluice.loops.own_metrics import OwnMetrics
from sluice.loops.stores import Object, OwnWrites
from sluice.loops.watch import Wanted, Watch
from sluice.metrics.kit import KitSource
from sluice.metrics.queries import Target
from sluice.metrics.source import Reading

log = structlog.get_logger()

LOOKBACK_SECONDS = 900.0
"""How far before a baseline a pod's last scrape may be."""
PATIENCE_SECONDS = 300.0
"""So long an outage of the metrics is not worth a change of a condition."""
_SHOWN_OF_EACH, _SHOWN = 10, 500  # series of distances: of a model, and of all

Readings = Mapping[Target, Mapping[str, Reading]]


class Monitoring:
    """`wake` queues a rollout whose status has something new to say."""

    def __init__(
        self,
        *,
        clock: Clock,
        rollouts: OwnWrites,
        source: KitSource,
        wake: Callable[[str], None],
        metrics: OwnMetrics,
        interval: float = 30.0,
    ) -> None:
        self._clock = clock
        self._rollouts = rollouts
        self._source = source
        self._wake = wake
        self._metrics = metrics
        self._interval = interval
        self._drift = DriftWatches()
        self._watches: dict[str, Watch] = {}
        self._parsed: dict[str, tuple[str, Rollout]] = {}
        self._told: dict[str, object] = {}
        self._seen: dict[str, Seen] = {}
        self._failing_since: float | None = None
        self._problem = ""

    def run(self, stop: threading.Event) -> None:
        """Beat until `stop`. Never raises."""
        while not stop.is_set():
            began = self._clock.monotonic()
            try:
                self.beat()
            except Exception:  # one odd profile must not stop the others for ever
                log.exception("monitoring failed")
            self._clock.wait(stop, began + self._interval - self._clock.monotonic())

    def beat(self) -> None:
        """Look once at all monitored stables; wake those whose status is to be written."""
        now = self._clock.now()
        rollouts = self._monitored()
        self._follow(rollouts, now)
        if self._watches:
            try:
                self._read(now)
            except MetricsError as error:
                if self._failing_since is None:
                    self._failing_since = now
                    log.warning("monitoring cannot read the metrics", problem=str(error))
                self._problem = str(error)
            else:
                self._failing_since, self._problem = None, ""
        self._metrics.distances.replace(self._distances())
        for key, rollout in rollouts.items():
            if self._publish(key, rollout, now):
                self._wake(key)

    def seen(self, key: str) -> Seen | None:
        """What the last beat knew of the stable of `key`; None before the first one."""
        return self._seen.get(key)

    def _monitored(self) -> dict[str, Rollout]:
        """Those that ask for it and have a stable; parsed only when they have changed."""
        found: dict[str, Rollout] = {}
        for obj in self._rollouts.values():
            if not (obj.get("spec") or {}).get("monitoring"):
                continue
            if rollout := self._rollout(obj):
                found[rollout.key] = rollout
        for key in self._parsed.keys() - found.keys():
            del self._parsed[key]
        return found

    def _rollout(self, obj: Object) -> Rollout | None:
        meta = obj["metadata"]
        key, version = f"{meta.get('namespace', '')}/{meta['name']}", str(meta["resourceVersion"])
        known = self._parsed.get(key)
        if known is not None and known[0] == version:
            return known[1]
        try:
            rollout = parse_rollout(obj)
        except SpecError:
            return None  # the reconcile loop says so in the status
        if rollout.status.stable is None or rollout.deleting:
            return None
        self._parsed[key] = (version, rollout)
        return rollout

    def _follow(self, rollouts: Mapping[str, Rollout], now: float) -> None:
        for key in self._watches.keys() - rollouts.keys():
            self._watches.pop(key).close(self._drift)
            self._told.pop(key, None)
            self._seen.pop(key, None)
        for key, rollout in rollouts.items():
            spec, stable = rollout.spec.monitoring, rollout.status.stable
            if spec is None or stable is None:
                continue
            target = Target(rollout.namespace, rollout.deployment_name, stable.predictor)
            wanted = Wanted(key, rollout.uid, target, stable.revision, spec)
            watch = self._watches.get(key)
            if watch is None or watch.wanted.uid != rollout.uid:
                if watch is not None:
                    watch.close(self._drift)
                self._watches[key] = Watch(wanted, rollout.status.monitoring, now)
            elif watch.wanted != wanted:
                watch.change(wanted, self._drift, now)

    def _read(self, now: float) -> None:
        source, watches = self._source, self._watches
        targets = {watch.wanted.target: watch for watch in watches.values()}
        profiles = source.profiles(targets, now)
        for target, watch in targets.items():
            watch.meet(profiles.get(target, frozenset()), now)
        if unread := [target for target, watch in targets.items() if watch.needs_profile]:
            references = source.references(unread, now)
            for target in unread:
                targets[target].begin(references.get(target, ()), self._drift, now)
        self._read_requests(targets, now)
        for measure, read in (
            (Measure.OUTCOMES, source.outcomes),
            (Measure.REWARDS, source.rewards),
        ):
            scored = {t: watch for t, watch in targets.items() if watch.scores_by(measure)}
            if new := [t for t, watch in scored.items() if not watch.scored]:
                _start(scored, new, read(new, now, LOOKBACK_SECONDS))
            if scored:
                readings = read(scored, now)
                for target, watch in scored.items():
                    watch.score(readings.get(target, {}), now)

    def _read_requests(self, targets: Mapping[Target, Watch], now: float) -> None:
        layouts = {target: watch.layout for target, watch in targets.items() if watch.layout}
        if not layouts:
            return
        if new := {t: layout for t, layout in layouts.items() if not targets[t].counting}:
            before = self._source.observations(new, now, LOOKBACK_SECONDS)
            for target in new:
                targets[target].start(before.get(target, {}), now)
        readings = self._source.observations(layouts, now)
        increments = {}
        for target in layouts:
            watch = targets[target]
            if (counts := watch.count(readings.get(target, {}), self._drift, now)) is not None:
                increments[watch.wanted.key] = counts
        self._drift.update(increments)

    def _outage(self) -> Blind | None:
        since = self._failing_since
        if since is None or self._clock.now() - since < PATIENCE_SECONDS:
            return None
        return Blind("MetricsUnavailable", f"the metrics cannot be read: {self._problem}")

    def _publish(self, key: str, rollout: Rollout, now: float) -> bool:
        """Let it be seen; True if it is to be written: then with a checkpoint."""
        spec, watch = rollout.spec.monitoring, self._watches.get(key)
        if spec is None or watch is None:
            return False
        seen = watch.seen(self._drift, self._outage())
        news = self._is_news(key, rollout, spec, seen) or _is_due(watch, rollout.status, now)
        if news:
            seen = replace(seen, checkpoint=watch.checkpoint(self._drift))
        self._seen[key] = seen
        return news

    def _is_news(self, key: str, rollout: Rollout, spec: Spec, seen: Seen) -> bool:
        found, answers = findings(spec, rollout.status, seen, self._clock.now())
        said = essence(found), _short(answers)
        if self._told.get(key) == said and said[1] == _written(rollout.status, answers):
            return False
        self._told[key] = said
        return True

    def _distances(self) -> dict[tuple[str, ...], float]:
        """Distance over threshold, of the features that are furthest off: few series, always."""
        found: list[tuple[float, tuple[str, ...]]] = []
        for watch in self._watches.values():
            rows = self._drift.results(watch.wanted.key) if watch.layout else ()
            ratios = sorted(((one.value / one.threshold, one.name) for one in rows), reverse=True)
            namespace, _, name = watch.wanted.key.partition("/")
            found += [(r, (namespace, name, feature)) for r, feature in ratios[:_SHOWN_OF_EACH]]
        return {labels: ratio for ratio, labels in sorted(found, reverse=True)[:_SHOWN]}


def _is_due(watch: Watch, status: RolloutStatus, now: float) -> bool:
    """There were requests since the last checkpoint, and that is some minutes old."""
    old = status.monitoring.checkpoint if status.monitoring else None
    if watch.moved_at is None or (old is not None and watch.moved_at <= old.at):
        return False
    return old is None or now - old.at >= CHECKPOINT_SECONDS


def _start(watches: Mapping[Target, Watch], new: list[Target], readings: Readings) -> None:
    for target in new:
        watches[target].start_scores(readings.get(target, {}))


def _short(answers: Mapping[str, Answer]) -> dict[str, tuple[str, str]]:
    return {kind: answer[:2] for kind, answer in answers.items()}


def _written(status: RolloutStatus, answers: Mapping[str, Answer]) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in status.conditions if c.type in answers}
