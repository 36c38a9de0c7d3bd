"""One pod as processes: start, probe, restart with back-off, report, end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from sluice.errors import NotFoundError, SandboxError, SluiceError
from sluice.sandbox import containers, probes
from sluice.sandbox.containers import Image
from sluice.sandbox.pod_status import ContainerView, Exit, pod_status
from sluice.sandbox.probes import Prober
from sluice.sandbox.processes import Process, Supervisor

TICK_SECONDS = 0.25
BACKOFF_FIRST, BACKOFF_LONGEST = 1.0, 10.0
BACKOFF_FORGOTTEN_AFTER = 60.0
DRAIN_SECONDS = 1.0
LONGEST_GRACE = 3.0

log = structlog.get_logger(__name__)


class PodApi(Protocol):
    """What a pod's runner asks of the API server."""

    def bind(self, namespace: str, name: str) -> None: ...

    def publish(self, namespace: str, name: str, uid: str, status: dict[str, Any]) -> None: ...

    def remove(self, namespace: str, name: str, uid: str) -> None: ...


@dataclass
class _Container:
    """A container's life so far. Times: `next_start` monotonic, `started_at` Unix seconds."""

    spec: Mapping[str, Any]
    process_name: str
    process: Process | None = None
    started_at: float = 0.0
    restarts: int = 0
    next_start: float = 0.0
    backoff: float = BACKOFF_FIRST
    waiting: str = "ContainerCreating"
    message: str = ""
    last_exit: Exit | None = None
    over: bool = False
    readiness: Prober | None = None
    liveness: Prober | None = None
    startup: Prober | None = None

    @property
    def ready(self) -> bool:
        if self.process is None or (self.startup and not self.startup.passing):
            return False
        return self.readiness is None or bool(self.readiness.passing)

    def view(self) -> ContainerView:
        return ContainerView(
            name=self.spec["name"],
            image=self.spec["image"],
            ready=self.ready,
            started_at=self.started_at if self.process else None,
            waiting=self.waiting,
            message=self.message,
            restarts=self.restarts,
            last_exit=self.last_exit,
            over=self.over,
        )


class PodRunner(threading.Thread):
    """Runs one pod until it is deleted. `pod` is updated by the node's watch (`update`)."""

    def __init__(
        self,
        pod: dict[str, Any],
        *,
        api: PodApi,
        supervisor: Supervisor,
        address: str,
        directory: Path,
        resolve: Callable[[str], Image | None],
        ended: Callable[[PodRunner], None],
    ) -> None:
        meta = pod["metadata"]
        super().__init__(name=f"pod-{meta['name']}", daemon=True)
        self.namespace, self.pod_name, self.uid = meta["namespace"], meta["name"], meta["uid"]
        self.address = address
        self._pod = pod
        self._api = api
        self._supervisor = supervisor
        self._directory = directory
        self._resolve = resolve
        self._ended = ended
        self._begun = time.time()
        self._published: dict[str, Any] = pod.get("status") or {}
        self._wake = threading.Event()
        self._gone = threading.Event()
        self._abandoned = threading.Event()
        self.held_unready = False
        self._containers = [self._container(spec) for spec in pod["spec"]["containers"]]

    def _container(self, spec: Mapping[str, Any]) -> _Container:
        return _Container(
            spec,
            process_name=f"{self.namespace}.{self.pod_name}.{spec['name']}",
            readiness=Prober.of(spec.get("readinessProbe"), initially=False, shortened=True),
            liveness=Prober.of(spec.get("livenessProbe"), initially=True, shortened=False),
            startup=Prober.of(spec.get("startupProbe"), initially=False, shortened=True),
        )

    def update(self, pod: dict[str, Any] | None) -> None:
        """The pod has changed (None: it is no longer there)."""
        if pod is None:
            self._gone.set()
        else:
            self._pod = pod
        self._wake.set()

    def hold_unready(self, held: bool) -> None:
        """Report the pod as not ready, whatever its probes say, until released."""
        self.held_unready = held
        self._wake.set()

    def abandon(self) -> None:
        """End the processes at once and report nothing: the sandbox goes down."""
        self._abandoned.set()
        self._wake.set()

    def run(self) -> None:
        try:
            while not (self._deleted or self._abandoned.is_set()):
                try:
                    self._pass()
                except NotFoundError:
                    break
                except SluiceError as error:
                    log.debug("pod.retry", pod=self.pod_name, error=str(error))
                    self._abandoned.wait(1.0)
                self._wake.wait(TICK_SECONDS)
                self._wake.clear()
            self._terminate()
        finally:
            self._ended(self)

    @property
    def _deleted(self) -> bool:
        return self._gone.is_set() or "deletionTimestamp" in self._pod["metadata"]

    def _pass(self) -> None:
        if not self._pod["spec"].get("nodeName"):
            self._api.bind(self.namespace, self.pod_name)
            self._pod["spec"]["nodeName"] = "sandbox"
        now = time.monotonic()
        for container in self._containers:
            if container.over:
                continue
            if container.process is None:
                if now >= container.next_start:
                    self._start(container)
            elif container.process.alive:
                self._probe(container, now)
            else:
                self._note_exit(container, now)
        self._publish()

    def _start(self, container: _Container) -> None:
        if self._pod["spec"].get("initContainers"):
            container.message = "the sandbox runs no init containers"
            return
        image = self._resolve(container.spec["image"])
        if image is None:
            first = container.waiting not in ("ErrImagePull", "ImagePullBackOff")
            container.waiting = "ErrImagePull" if first else "ImagePullBackOff"
            container.message = f"this sandbox has no image {container.spec['image']}"
            self._back_off(container, time.monotonic())
            return
        podinfo = containers.write_podinfo(self._pod, self._directory / "podinfo")
        env = containers.environment(
            self._pod, container.spec, image, address=self.address, podinfo=podinfo
        )
        argv = containers.command_line(container.spec, image)
        try:
            process = self._supervisor.start(
                container.process_name, argv, env=env, clean_env=True, cwd=image.cwd
            )
        except SandboxError as error:
            container.waiting, container.message = "RunContainerError", str(error)
            self._back_off(container, time.monotonic())
            return
        container.process, container.started_at = process, time.time()
        for prober, initially in (
            (container.readiness, False),
            (container.liveness, True),
            (container.startup, False),
        ):
            if prober:
                prober.begin(time.monotonic(), passing=initially)

    @staticmethod
    def _back_off(container: _Container, now: float) -> None:
        container.next_start = now + container.backoff
        container.backoff = min(container.backoff * 2, BACKOFF_LONGEST)

    def _probe(self, container: _Container, now: float) -> None:
        ports = {
            port["name"]: port["containerPort"]
            for port in container.spec.get("ports", ())
            if "name" in port
        }

        def run(spec: Mapping[str, Any]) -> bool:
            return probes.check(spec, self.address, ports)

        if container.startup and not container.startup.passing:
            container.startup.run_if_due(now, run)
            return
        if container.readiness:
            container.readiness.run_if_due(now, run)
        if container.liveness:
            container.liveness.run_if_due(now, run)
            if not container.liveness.passing:
                self._supervisor.stop(container.process_name, grace=LONGEST_GRACE)
                self._note_exit(container, time.monotonic())

    def _note_exit(self, container: _Container, now: float) -> None:
        assert container.process is not None
        code = container.process.exit_code
        lived = time.time() - container.started_at
        self._supervisor.forget(container.process_name)
        container.last_exit = Exit(code or 0, container.started_at, time.time())
        container.process = None
        policy = self._pod["spec"].get("restartPolicy") or "Always"
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            container.over = True
            return
        container.restarts += 1
        if lived >= BACKOFF_FORGOTTEN_AFTER:
            container.backoff = BACKOFF_FIRST
        container.waiting = "CrashLoopBackOff"
        seconds, name = container.backoff, container.spec["name"]
        container.message = f"back-off {seconds:.0f}s restarting failed container={name}"
        self._back_off(container, now)

    def _publish(self) -> None:
        status = pod_status(
            self._published,
            [container.view() for container in self._containers],
            address=self.address,
            started=self._begun,
            now=time.time(),
            ready_override=not self.held_unready,
        )
        if status != self._published:
            self._api.publish(self.namespace, self.pod_name, self.uid, status)
            self._published = status

    def _terminate(self) -> None:
        """Endpoints go first (the gateway sees the deletion), then the processes, then the pod."""
        if not (self._gone.is_set() or self._abandoned.is_set()):
            self._abandoned.wait(DRAIN_SECONDS)
        grace = float(self._pod["metadata"].get("deletionGracePeriodSeconds") or LONGEST_GRACE)
        grace = 0.0 if self._abandoned.is_set() else min(grace, LONGEST_GRACE)
        stoppers = [
            threading.Thread(
                target=self._supervisor.stop, args=(c.process_name,), kwargs={"grace": grace}
            )
            for c in self._containers
        ]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()
        while not (self._gone.is_set() or self._abandoned.is_set()):
            try:
                self._api.remove(self.namespace, self.pod_name, self.uid)
                return
            except NotFoundError:
                return
            except SluiceError as error:
                log.debug("pod.remove.retry", pod=self.pod_name, error=str(error))
                self._gone.wait(1.0)
