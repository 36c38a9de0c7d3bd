"""`sluice controller`: everything wired together, and the leader's threads."""

from __future__ import annotations

import gc
import random
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from sluice._version import __version__
from sluice.clock import Clock, SystemClock
from sluice.errors import ApiError, ConflictError, UsageError
from sluice.kube.client import Client
from sluice.kube.events import EventRecorder
from sluice.kube.failures import lacks_right
from sluice.kube.lease import Elector
from sluice.kube.roles import granted
from sluice.kube.workqueue import WorkQueue
from sluice.loops.aftercare import Aftercare
from sluice.loops.answers import AnswerJudging
from sluice.loops.audit import AuditLog
from sluice.loops.gatekeeping import Gatekeeper
from sluice.loops.health import HealthServer
from sluice.loops.judging import Judging
from sluice.loops.keeping import Keeper
from sluice.loops.monitoring import Monitoring
from sluice.loops.observing import build_kit_source, build_observers
from sluice.loops.own_metrics import OwnMetrics
from sluice.loops.policies import Policies
from sluice.loops.posting import HostRules, HttpPost
from sluice.loops.preflights import ClusterWays, Preflights
from sluice.loops.pulse import Pulse
from sluice.loops.reconcile import Reconciler
from sluice.loops.retraining import Retrainer
from sluice.loops.rights import Rights
from sluice.loops.settings import ControllerSettings, WebhookSettings
from sluice.loops.stores import OwnWrites
from sluice.loops.watching import Watching
from sluice.loops.webhooks import Webhooks
from sluice.seldon.read import WorldReader
from sluice.seldon.write import SeldonWriter

log = structlog.get_logger()

_STOP_SECONDS = 1.5  # SIGTERM must release the lease within 2 s
_QUEUE_WAIT = 1.0
# Copies of thousands of objects live for ever, and a pulse makes ten thousand that do not: with
# Python's own numbers the collector walks through all of it many times a second.
_COLLECT_AT = (50_000, 20, 50)


class _Events:
    """`sluice.loops.reconcile.Recorder` over the real recorder."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def event(
        self, obj: Mapping[str, Any], *, reason: str, message: str, warning: bool = False
    ) -> None:
        """Record one."""
        self._recorder.record(obj, "Warning" if warning else "Normal", reason, message)


class Controller:
    """One process. `run` blocks until `stop` is set or leadership is lost."""

    def __init__(
        self, settings: ControllerSettings, client: Client, metrics: OwnMetrics, clock: Clock
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._client = client
        self.metrics = metrics
        self.stop = threading.Event()
        self._workers: list[threading.Thread] = []
        rng = random.Random()  # noqa: S311 - jitter
        self.queue: WorkQueue[str] = WorkQueue(clock, rng=rng)
        self.watching = Watching(
            client,
            clock=clock,
            rng=rng,
            namespaces=settings.namespaces,
            default_policy=settings.default_policy,
            wake=self._wake,
        )
        self.rollouts = OwnWrites(self.watching.rollouts)
        policies = Policies(
            self.watching.policies,
            self.watching.cluster_policies,
            default=settings.default_policy,
            cluster_problem=self.watching.cluster_policies_problem,
        )
        self.rights = Rights(
            client,
            granted(settings.lease_namespace, settings.namespaces),
            clock=clock,
            gauge=metrics.missing_rights,
            interval=settings.rights_interval,
        )
        self.recorder = EventRecorder(client, clock=clock, instance=settings.identity)
        sources = self.watching.sources()
        self.audit = (
            AuditLog(settings.audit_log, on_error=metrics.audit_errors.inc)
            if settings.audit_log
            else None
        )
        self.webhooks = Webhooks(
            post=_post(settings.webhooks),
            clock=clock,
            wake=self._wake,
            keys={name: Path(path) for name, path in settings.webhooks.keys.items()},
            on_answer=lambda outcome: metrics.webhooks.labels(outcome).inc(),
        )
        observer, answers = build_observers(settings.prometheus, settings.pulse, metrics)
        judging = Judging(observer, AnswerJudging(answers))
        self.preflights = Preflights(
            ways=ClusterWays(client),
            clock=clock,
            wake=self._wake,
            on_end=lambda state: metrics.preflights.labels(state).inc(),
        )
        # Of their own: a gate takes back the questions of its rollout that it no longer asks.
        self.retrain_webhooks = Webhooks(
            post=_post(settings.webhooks),
            clock=clock,
            wake=self._wake,
            keys={name: Path(path) for name, path in settings.webhooks.keys.items()},
        )
        self.monitoring = Monitoring(
            clock=clock,
            rollouts=self.rollouts,
            source=build_kit_source(settings.prometheus, metrics),
            wake=self._wake,
            metrics=metrics,
            interval=settings.monitoring_interval,
        )
        self.reconciler = Reconciler(
            client=client,
            clock=clock,
            rollouts=self.rollouts,
            policies=policies,
            reader=WorldReader(sources),
            writer=SeldonWriter(client, dry_run=settings.dry_run, clock=clock),
            judging=judging,
            recorder=_Events(self.recorder),
            metrics=metrics,
            status_interval=settings.status_interval,
            settle=settings.settle,
            claims=self.watching.index.of_deployment,
            gatekeeper=Gatekeeper(self.rollouts, self.webhooks, settings.namespaces),
            keeper=Keeper(client, sources.pods, self.audit),
            preflights=self.preflights,
            aftercare=Aftercare(
                self.monitoring.seen,
                Retrainer(client, self.retrain_webhooks, dry_run=settings.dry_run),
            ),
        )
        self.pulse = Pulse(
            clock=clock,
            rollouts=self.rollouts,
            policies=policies,
            judging=judging,
            queue=self.queue.add,
            metrics=metrics,
            interval=settings.pulse,
            status_interval=settings.status_interval,
        )
        self.elector = Elector(
            client,
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=settings.identity,
            clock=clock,
            rng=rng,
            duration=settings.lease_seconds,
            renew_deadline=settings.renew_deadline,
            retry=settings.retry_period,
            on_started=self._lead,
            on_stopped=self._step_down,
        )
        metrics.queue_depth.set_function(lambda: float(self.queue.depth))
        metrics.leader.set_function(lambda: float(self.elector.is_leader()))

    def run(self) -> int:
        """Returns the exit code: 0 when stopped, 1 when the lease was lost."""
        health = HealthServer(self.settings.listen, self.metrics.registry, self._live, self._ready)
        self.metrics.started.set(self._clock.now())
        health.start()
        log.info(
            "controller started",
            identity=self.settings.identity,
            port=health.port,
            version=__version__,
            namespaces=list(self.settings.namespaces) or "all",
        )
        self.recorder.start()
        try:
            self.watching.start(self.stop)
            threading.Thread(
                target=self.rights.run, args=(self.stop,), name="rights", daemon=True
            ).start()
            kept = self.elector.run(self.stop)
        finally:
            self.stop.set()
            self.queue.shutdown()
            self.webhooks.stop()
            self.preflights.stop()
            self.retrain_webhooks.stop()
            self.recorder.close(_STOP_SECONDS)
            if self.audit:
                self.audit.close()
            health.stop()
        log.info("controller stopped", lost_lease=not kept)
        return 0 if kept else 1

    def _wake(self, key: str) -> None:
        self.queue.add(key)

    def _lead(self) -> None:
        """Called by the elector: start the leader's threads; must return soon."""
        for index in range(self.settings.workers):
            thread = threading.Thread(target=self._work, name=f"reconcile-{index}", daemon=True)
            thread.start()
            self._workers.append(thread)
        self.webhooks.start(self.settings.webhooks.threads)
        self.preflights.start(self.settings.preflights)
        self.retrain_webhooks.start(1)
        threading.Thread(target=self._monitor, name="monitoring", daemon=True).start()
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def _step_down(self) -> None:
        """Called before the lease is let go: nobody writes after this."""
        self.stop.set()
        self.queue.shutdown()
        self.webhooks.stop()
        self.preflights.stop()
        self.retrain_webhooks.stop()
        deadline = self._clock.monotonic() + _STOP_SECONDS
        for thread in self._workers:
            thread.join(max(0.0, deadline - self._clock.monotonic()))

    def _await_copies(self) -> bool:
        """True when the copies are complete; False when stopped before."""
        while not self.stop.is_set():
            if not self.watching.unsynced():
                return True
            self._clock.wait(self.stop, 0.05)
        return False

    def _beat(self) -> None:
        if self._await_copies():
            self.pulse.run(self.stop)

    def _monitor(self) -> None:
        if self._await_copies():
            self.monitoring.run(self.stop)

    def _work(self) -> None:
        if not self._await_copies():
            return
        while not self.stop.is_set():
            key = self.queue.get(timeout=_QUEUE_WAIT)
            if key is None:
                continue
            try:
                self._one(key)
            finally:
                self.queue.done(key)

    def _one(self, key: str) -> None:
        if not self.elector.is_leader():
            self.queue.add_after(key, 0.5)
            return
        began = self._clock.monotonic()
        try:
            look_again = self.reconciler.reconcile(key)
        except ConflictError:
            self.queue.add_after(key, 0.1)
        except ApiError as error:
            self.metrics.reconcile_errors.labels(type(error).__name__).inc()
            if lacks_right(error):
                self.rights.look_again()
            wait = self.queue.retry(key, at_least=error.retry_after or 0.0)
            log.warning("will retry", rollout=key, error=str(error), seconds=round(wait, 2))
        except Exception as error:  # one odd rollout must not stop the others
            self.metrics.reconcile_errors.labels(type(error).__name__).inc()
            self.queue.retry(key, at_least=1.0)
            log.exception("reconcile failed", rollout=key)
        else:
            self.queue.forget(key)
            if look_again is not None:
                self.queue.add_after(key, look_again)
        self.metrics.reconcile_seconds.observe(self._clock.monotonic() - began)

    def _live(self) -> str:
        if not self.elector.is_leader():
            return ""
        silent = self._clock.monotonic() - self.pulse.last
        limit = max(120.0, 10 * self.settings.pulse)
        return f"no pulse for {silent:.0f}s" if silent > limit else ""

    def _ready(self) -> str:
        return self.rights.problem() or self.watching.unsynced()


def _post(settings: WebhookSettings) -> HttpPost:
    """Raises UsageError for a CA file that is none."""
    try:
        return HttpPost(HostRules(settings.allow_hosts), ca_file=settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"--webhook-ca-file {settings.ca_file}: {error}") from error


def run_controller(
    settings: ControllerSettings, *, kubeconfig: str | None, context: str | None
) -> int:
    """Connect, run until SIGTERM or SIGINT; returns the exit code."""
    gc.set_threshold(*_COLLECT_AT)
    metrics = OwnMetrics()

    def count(verb: str, resource: str, code: int) -> None:
        metrics.api_requests.labels(verb, resource, str(code)).inc()

    client = Client.connect(
        kubeconfig=kubeconfig,
        context=context,
        user_agent="sluice-controller",
        connections=settings.workers + 12,
        on_request=count,
    )
    controller = Controller(settings, client, metrics, SystemClock())

    def stop(number: int, frame: object) -> None:
        del number, frame
        controller.stop.set()

    def reopen(number: int, frame: object) -> None:
        del number, frame
        if controller.audit:
            controller.audit.reopen()

    signal.signal(signal.SIGHUP, reopen)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return controller.run()
