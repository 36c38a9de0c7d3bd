"""Bringing a cluster up and taking it down: `Cluster` owns it, and it ends with its owner."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sluice import packaging
from sluice.cluster import platform, registry, scratch
from sluice.cluster.control_plane import ControlPlane
from sluice.cluster.machine import Machine
from sluice.cluster.pki import Pki
from sluice.cluster.place import MOST_NODES, Place, claim
from sluice.errors import SandboxError, ToolError, UsageError
from sluice.kube.client import Client
from sluice.sandbox import debian, parts, processes
from sluice.sandbox.processes import Supervisor
from sluice.sandbox.progress import Progress, Silent

_TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "mount": "mount"}


@dataclass(frozen=True)
class Options:
    """`scrape_seconds`: of Prometheus. `archives`: more images to import."""

    nodes: int = 2
    scrape_seconds: float = 1.0
    archives: Sequence[Path] = ()


class Cluster:
    """One cluster of this machine, in the directory `root`. Several can be up at once."""

    def __init__(
        self, root: Path, options: Options | None = None, progress: Progress | None = None
    ) -> None:
        self.root = root
        self.options = options or Options()
        self._progress = progress or Silent()
        self._undo: list[Callable[[], object]] = []
        self.place: Place
        self.supervisor: Supervisor
        self.nodes: list[Machine] = []
        self.control_plane: ControlPlane
        self.client: Client
        self.images: packaging.Built
        self.left: list[str] = []

    def __enter__(self) -> Cluster:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def up(self) -> None:
        """Bring all of it up; on any failure take down what is up already, then raise.

        Raises ToolError (a part is missing and cannot be made) or SandboxError.
        """
        if os.geteuid() != 0:
            raise ToolError(
                "a cluster of one machine needs root (namespaces, control groups): run it as root, "
                "or set SLUICE_KUBECONFIG to the kubeconfig of a kind or k3d cluster of yours"
            )
        for tool, package in _TOOLS.items():
            if shutil.which(tool) is None:
                raise ToolError(f"a cluster needs `{tool}` (Debian's package {package})")
        if not 1 <= self.options.nodes <= MOST_NODES:
            raise UsageError(f"expected 1 to {MOST_NODES} nodes, found {self.options.nodes}")
        parts.ensure_all(self._progress, ("sandbox", "packaging", "cluster"))
        self.images = packaging.build(progress=self._progress)
        try:
            self._up()
        except BaseException:
            self.down()
            raise

    def _up(self) -> None:
        clear(self.root)
        self.place, handle = claim(self.root)
        self._undo.append(handle.close)
        self.supervisor = Supervisor(self.root)
        self._undo.append(self._end_processes)
        self._undo.append(self._end_nodes)
        self._start_nodes()
        admin = self.place.pki / "admin.kubeconfig"
        shutil.copyfile(admin, self.place.kubeconfig)
        self.place.kubeconfig.chmod(0o600)
        self.client = Client.connect(kubeconfig=str(admin))
        text = platform.manifests(
            self.place.dns_service,
            self.images.digests,
            scrape_seconds=self.options.scrape_seconds,
        )
        with self._progress.step("install mesh, metrics and Seldon's stand-in", about_seconds=20):
            platform.install(admin, text)
            platform.await_available(admin)
        processes.write_atomically(self.place.access, json.dumps(self.access(), indent=1))

    def down(self) -> list[str]:
        """Take all of it down; returns what could not be removed (nothing)."""
        undo, self._undo = self._undo, []
        with ExitStack() as steps:  # last added, first run; one that fails stops no other
            for step in undo:
                steps.callback(step)
        return self.left

    def _start_nodes(self) -> None:
        pki = Pki(self.place, self.options.nodes)
        root = debian.root(self._progress)
        with self._progress.step("make the nodes' namespaces"):
            for index in range(self.options.nodes):
                machine = Machine(self.place.node(index), self.supervisor, root)
                self.nodes.append(machine)
                machine.start(self.nodes[0] if index else None)
        registry.start(self.place, self.supervisor, root)
        with self._progress.step("start the control plane"):
            self.control_plane = ControlPlane(self.place, self.nodes[0], pki, self.supervisor)
            self.control_plane.start()
        images = [scratch.archive(platform.images()), self.images.archive, *self.options.archives]
        with self._progress.step("import the images and start the nodes"):
            for machine in self.nodes:
                machine.start_containers(images)
                machine.start_kubelet(pki)

    def _end_nodes(self) -> None:
        self.place.access.unlink(missing_ok=True)
        for process in reversed(self.supervisor.all()):
            if not process.name.startswith("init"):
                self.supervisor.stop(process.name, grace=0.0)
        for machine in reversed(self.nodes):
            self.left += [str(path) for path in machine.stop()]

    def _end_processes(self) -> None:
        if left := self.supervisor.close():
            self.left.append(f"{left} processes")

    def access(self) -> dict[str, Any]:
        """What a person or a program needs to use the cluster (also in `access.json`)."""
        return {
            "kubeconfig": str(self.place.kubeconfig),
            "apiServer": self.place.api_server,
            "gateway": node_port(self.client, "istio-system", "istio-ingressgateway"),
            "prometheus": node_port(self.client, "monitoring", "prometheus"),
            "images": dict(self.images.digests),
            "registry": registry.address(self.place),
            "registriesConf": str(registry.client_configuration(self.place)),
            "logs": str(self.root / "logs"),
        }


def node_port(client: Client, namespace: str, service: str) -> str:
    """The URL of a Service's first port, at the first node's address."""
    path = f"/api/v1/namespaces/{namespace}/services/{service}"
    port = client.request("GET", path)["spec"]["ports"][0]["nodePort"]
    node = client.request("GET", "/api/v1/nodes")["items"][0]
    addresses = {one["type"]: one["address"] for one in node["status"]["addresses"]}
    return f"http://{addresses['InternalIP']}:{port}"


def clear(root: Path) -> None:
    """Makes the directory free: cleans up after a dead owner, refuses if one is alive."""
    root.mkdir(parents=True, exist_ok=True)
    state = processes.read_state(root)
    if state is not None:
        if processes.owner_alive(state):
            raise SandboxError(
                f"a cluster is up in {root} (owner: process {state['owner']['pid']}): use it, or "
                f"take it down with `python -m sluice.cluster down --directory {root}`"
            )
        processes.clean_up(root)
    for entry in root.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()
