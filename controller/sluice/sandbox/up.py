"""A whole sandbox: real API server, Envoy, Prometheus and model servers, on loopback, without root.

    with Sandbox(Layout.named("demo"), Options()) as sandbox:
        sandbox.client.create(...)

brings everything up and takes everything down. `python -m sluice.sandbox.up` is the process that
owns a sandbox in the background.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from sluice.errors import SandboxError
from sluice.kube.client import Client
from sluice.sandbox import objects, parts, processes
from sluice.sandbox.containers import Resolver
from sluice.sandbox.control_plane import CONTROLLERS, ControlPlane
from sluice.sandbox.envoy import Envoy
from sluice.sandbox.gateway import Gateway
from sluice.sandbox.guardian import start_time
from sluice.sandbox.layout import Layout
from sluice.sandbox.node import Node
from sluice.sandbox.ports import free_port
from sluice.sandbox.processes import Supervisor
from sluice.sandbox.progress import Progress, Silent
from sluice.sandbox.prometheus import Prometheus, configuration

PEOPLE = ("sluice-viewer", "sluice-operator")
SYSTEM_NAMESPACE = "sluice-system"
CRDS = Path(__file__).parent / "crds"


@dataclass(frozen=True)
class Options:
    """What to bring up. `controller_args` are added to the controller's command line.

    `images`: image name prefix -> resolver, for pods that are not Seldon's. `namespaces` are made.
    `extra_controllers` of the kube-controller-manager, such as the Jobs'.
    """

    scrape_seconds: float = 5.0
    namespaces: tuple[str, ...] = ("prod",)
    operator: bool = True
    controller: bool = True
    prometheus: bool = True
    controllers: int = 1
    controller_args: tuple[str, ...] = ()
    extra_controllers: tuple[str, ...] = ()
    images: Mapping[str, Resolver] = field(default_factory=dict)


@dataclass(frozen=True)
class PartStatus:
    """One line of `sluice sandbox status`."""

    name: str
    pid: int
    alive: bool
    log: Path


class Sandbox:
    """One sandbox, owned by this process: it ends with it."""

    def __init__(
        self, layout: Layout, options: Options | None = None, progress: Progress | None = None
    ) -> None:
        self.layout = layout
        self.options = options or Options()
        self._progress = progress or Silent()
        self.supervisor: Supervisor
        self.control_plane: ControlPlane
        self.client: Client
        self.node: Node
        self.envoy: Envoy
        self.gateway: Gateway
        self.prometheus: Prometheus
        self._controller_ports: dict[str, int] = {}
        self._controllers_lock = threading.RLock()
        self._undo: list[Callable[[], object]] = []
        self._lock: IO[str] | None = None

    def __enter__(self) -> Sandbox:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    # -- up and down ---------------------------------------------------------------------------

    def up(self) -> None:
        """Bring all of it up; on any failure take down what is up already, then raise.

        Raises ToolError (a part is missing and cannot be made) or SandboxError.
        """
        parts.ensure_all(self._progress)
        self._lock = claim(self.layout)
        try:
            take_over(self.layout)
            self._up()
        except BaseException:
            self.down()
            raise

    def _up(self) -> None:
        layout, options = self.layout, self.options
        layout.root.mkdir(parents=True, exist_ok=True)
        self.supervisor = Supervisor(layout.root)
        self._undo.append(self.supervisor.close)
        self.control_plane = ControlPlane(self.supervisor, layout.control_plane, controllers=False)
        self.control_plane.start(self._progress)
        self.client = Client.connect(kubeconfig=str(self.control_plane.kubeconfig("admin")))
        shutil.copyfile(
            self.control_plane.kubeconfig("admin", namespace=options.namespaces[0]),
            layout.kubeconfig,
        )
        layout.kubeconfig.chmod(0o600)
        with self._progress.step("apply CRDs and roles"):
            self._apply_manifests()
        self.control_plane.start_controllers(
            self._progress, CONTROLLERS + options.extra_controllers
        )
        with self._progress.step("start the node and the gateway"):
            self._start_data_plane()
        if options.prometheus:
            with self._progress.step("start Prometheus"):
                self._start_prometheus()
        if options.operator:
            with self._progress.step("start the Seldon operator (stand-in)"):
                self.start_operator()
        if options.controller:
            with self._progress.step("start the Sluice controller"):
                for index in range(options.controllers):
                    self.start_controller(index)
        processes.write_atomically(layout.access, json.dumps(self.access(), indent=1))

    def down(self) -> int:
        """Take all of it down; returns how many processes are left (0)."""
        self.layout.access.unlink(missing_ok=True)
        undo, self._undo = self._undo, []
        left = 0
        if not undo:
            return left
        try:
            with ExitStack() as steps:  # last added, first run; one that fails stops no other
                for step in undo[1:]:
                    steps.callback(step)
        finally:
            left = self.supervisor.close()
            if self._lock:
                self._lock.close()
        return left

    def _client(self, user: str) -> Client:
        return Client.connect(
            kubeconfig=str(self.control_plane.kubeconfig(user)), user_agent=f"sandbox-{user}"
        )

    def _apply_manifests(self) -> None:
        client = self.client
        for namespace in (SYSTEM_NAMESPACE, *self.options.namespaces):
            meta = {"name": namespace}
            objects.apply(client, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        crds = objects.read_manifests(CRDS)
        shipped = shipped_manifests()
        if (shipped / "crds").is_dir():
            crds += objects.read_manifests(shipped / "crds")
        for crd in crds:
            objects.apply(client, crd)
        objects.await_established(client, [crd["metadata"]["name"] for crd in crds])
        if (shipped / "rbac").is_dir():
            roles = objects.read_manifests(shipped / "rbac")
            for obj in objects.bound_to_users(roles, PEOPLE):
                objects.apply(client, obj, namespace=SYSTEM_NAMESPACE)

    def _start_data_plane(self) -> None:
        self.node = Node(
            self._client("kubelet"),
            self.supervisor,
            self.layout.node,
            images=self.options.images,
        )
        self.node.start()
        self._undo.append(self.node.stop)
        self.envoy = Envoy(self.supervisor, self.layout.envoy)
        self.envoy.start()
        self.gateway = Gateway(self._client("gateway"), self.envoy)
        self.gateway.start()
        self._undo.append(self.gateway.stop)

    def _start_prometheus(self) -> None:
        self.prometheus = Prometheus(self.supervisor, self.layout.prometheus)
        config = configuration(
            api_server=self.control_plane.url,
            certificate=self.control_plane.certificate,
            token_file=self.prometheus.token_file,
            envoy_admin=self.envoy.admin,
            scrape_seconds=self.options.scrape_seconds,
        )
        self.prometheus.configure(config, token=self.control_plane.token("prometheus"))
        self.prometheus.start()

    # -- the processes with a life of their own ------------------------------------------------

    def start_operator(self) -> None:
        """Start the stand-in for Seldon's operator; returns when its webhook is registered."""
        self.layout.operator.mkdir(parents=True, exist_ok=True)
        ready = self.layout.operator / "ready"
        ready.unlink(missing_ok=True)
        self.supervisor.start(
            "seldon-operator",
            [
                sys.executable,
                "-m",
                "sluice.sandbox.operator",
                f"--kubeconfig={self.control_plane.kubeconfig('seldon-operator')}",
                "--webhook-port=0",
                f"--webhook-cert-dir={self.layout.operator}",
                f"--ready-file={ready}",
            ],
            ready=ready.exists,
        )

    def stop_operator(self, *, crash: bool = False) -> None:
        """Stop the operator; its webhook stays registered, so writes fail, as in a cluster."""
        self.supervisor.stop("seldon-operator", grace=0.0 if crash else 5.0)

    def start_controller(self, index: int = 0, *args: str) -> None:
        """Start controller number `index` (several compete for one lease)."""
        name = controller_name(index)
        port = self._controller_ports.setdefault(name, free_port())
        argv = [sys.executable, "-m", "sluice.cli.main", "controller"]
        argv += [f"--kubeconfig={self.control_plane.kubeconfig('sluice-controller')}"]
        argv += [f"--http-address=127.0.0.1:{port}"]
        if self.options.prometheus:
            argv += [f"--prometheus-url={self.prometheus.url}"]
        with self._controllers_lock:
            self.supervisor.start(
                name,
                [*argv, *self.options.controller_args, *args],
                env={"POD_NAMESPACE": SYSTEM_NAMESPACE, "POD_NAME": name},
                ready=lambda: _answers(f"http://127.0.0.1:{port}/healthz"),
                deadline=180,
            )

    def stop_controller(self, index: int = 0, *, crash: bool = False) -> None:
        """SIGTERM and wait, or SIGKILL at once (`crash`)."""
        with self._controllers_lock:
            self.supervisor.stop(controller_name(index), grace=0.0 if crash else 10.0)

    def revive_controllers(self) -> list[str]:
        """Start again the controllers that ended by themselves, as Kubernetes does with containers.

        One that loses its lease ends, be it because a laptop slept. Returns the names. Raises
        SandboxError if one does not come up.
        """
        revived = []
        with self._controllers_lock:
            for index in range(self.options.controllers):
                process = self.supervisor.get(controller_name(index))
                if process is not None and not process.alive:
                    self.start_controller(index)
                    revived.append(controller_name(index))
        return revived

    @contextmanager
    def keeping_controllers(self) -> Iterator[None]:
        """Meanwhile `revive_controllers` is called twice a second.

        On a machine that is too busy to renew a short lease a controller ends, as it should.
        """
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(0.5):
                with suppress(SandboxError):
                    self.revive_controllers()

        keeper = threading.Thread(target=keep, name="keeper", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            stop.set()
            keeper.join()

    def controller_url(self, index: int = 0) -> str:
        """Base URL of a controller's health and metrics endpoints."""
        return f"http://127.0.0.1:{self._controller_ports[controller_name(index)]}"

    # -- what there is -------------------------------------------------------------------------

    def kubeconfig(self, user: str = "admin", *, namespace: str | None = None) -> Path:
        """A kubeconfig for one of the users of `control_plane.USERS`."""
        return self.control_plane.kubeconfig(
            user, namespace=namespace or self.options.namespaces[0]
        )

    def access(self) -> dict[str, Any]:
        """What a person or a program needs to use the sandbox (also in `access.json`)."""
        access = {
            "kubeconfig": str(self.layout.kubeconfig),
            "apiServer": self.control_plane.url,
            "gateway": self.envoy.url,
            "envoyAdmin": f"http://{self.envoy.admin}",
            "podNetwork": f"{self.node.network.prefix}.0/24",
            "logs": str(self.layout.logs),
        }
        if self.options.prometheus:
            access["prometheus"] = self.prometheus.url
        if self._controller_ports:
            access["controller"] = self.controller_url()
        return access

    def status(self) -> list[PartStatus]:
        """Every process that should run."""
        return [
            PartStatus(process.name, process.pid, process.alive, process.log)
            for process in self.supervisor.all()
        ]

    def dead(self) -> list[PartStatus]:
        """The processes that should run and do not (pods restart theirs by themselves)."""
        prefixes = tuple(f"{namespace}." for namespace in self.options.namespaces)
        return [
            part for part in self.status() if not part.alive and not part.name.startswith(prefixes)
        ]

    def wait(self, stop: threading.Event) -> None:
        """Block until `stop` is set. Raises SandboxError if a part dies meanwhile.

        A controller is started again.
        """
        while not stop.wait(0.5):
            for name in self.revive_controllers():
                self._progress.note(f"{name} had ended: started again")
            if dead := self.dead():
                part = dead[0]
                process = self.supervisor.get(part.name)
                tail = process.log_tail() if process else ""
                raise SandboxError(f"{part.name} has ended by itself\n{tail}\n  log: {part.log}")


def controller_name(index: int) -> str:
    """The process name of controller number `index`."""
    return "sluice-controller" if index == 0 else f"sluice-controller-{index}"


def shipped_manifests() -> Path:
    """The repository's `manifests/`: what users apply is what the sandbox applies."""
    return Path(__file__).resolve().parents[3] / "manifests"


def claim(layout: Layout) -> IO[str]:
    """Become the directory's one owner until the answer is closed, or this process ends."""
    layout.root.mkdir(parents=True, exist_ok=True)
    handle = layout.lock.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise SandboxError(
            f"another process owns the sandbox in {layout.root}: use it, take it down with "
            "`sluice sandbox down`, or choose another --name"
        ) from None
    handle.truncate(0)
    handle.write(f"{os.getpid()} {start_time(os.getpid())}\n")
    handle.flush()
    return handle


def take_over(layout: Layout) -> None:
    """Make sure the directory is free: clean up after a dead owner, refuse if one is alive."""
    state = processes.read_state(layout.root)
    if state is not None:
        if processes.owner_alive(state):
            raise SandboxError(
                f"a sandbox is up in {layout.root} (owner: process {state['owner']['pid']}): use "
                "it, take it down with `sluice sandbox down`, or choose another --name"
            )
        processes.clean_up(layout.root)
    layout.access.unlink(missing_ok=True)
    for stale in (layout.control_plane, layout.envoy, layout.prometheus, layout.node, layout.logs):
        shutil.rmtree(stale, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
    except OSError:
        return False
