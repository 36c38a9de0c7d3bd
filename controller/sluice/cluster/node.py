"""The node and its control plane: processes of this machine in namespaces of their own."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from sluice.cluster import components, control_groups, init
from sluice.cluster.pki import Pki
from sluice.cluster.place import Place
from sluice.errors import SandboxError, ToolError
from sluice.sandbox import debian, parts
from sluice.sandbox.processes import Supervisor
from sluice.sandbox.progress import Progress

_TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "mount": "mount"}
# Joins the control groups whose files it is given up to `--`, then becomes what follows.
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'


class Node:
    """One node. `start` returns when the API server is ready and containerd has the images."""

    def __init__(self, place: Place, supervisor: Supervisor) -> None:
        self._place = place
        self._supervisor = supervisor
        self._init = 0
        self._joined: list[Path] = []
        self._environment: Mapping[str, str] = {}
        self._debian = Path()
        self.pki: Pki

    def start(self, progress: Progress, images: Sequence[Path]) -> None:
        """Raises SandboxError or ToolError."""
        for tool, package in _TOOLS.items():
            if shutil.which(tool) is None:
                raise ToolError(f"the cluster needs `{tool}` (Debian's package {package})")
        self._debian = debian.root(progress)
        self._environment = debian.environment(self._debian)
        with progress.step("make the node's namespaces"):
            self.pki = Pki(self._place)
            self._start_init()
        with progress.step("start etcd, containerd and the API server"):
            self._start_storage()
            self.start_api_server()
        with progress.step("import the images"):
            self.import_images(images)
        with progress.step("start the node"):
            self._start_rest()

    # -- namespaces ----------------------------------------------------------------------------

    def _start_init(self) -> None:
        place = self._place
        ready = place.root / "node.ready"
        ready.unlink(missing_ok=True)
        told = place.root / "init.json"
        told.write_text(json.dumps(components.told_init(place)))
        self._joined = control_groups.make(place.control_group)
        process = self._supervisor.start(
            "init",
            [
                *("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork"),
                *("--kill-child", "--mount-proc"),
                *(sys.executable, "-I", "-S", init.__file__, str(told)),
            ],
            ready=lambda: True,
        )
        self._init = self._child_of(process.pid)
        self._link()
        self._await(ready.exists, "the node's namespaces", "init")

    def _child_of(self, pid: int) -> int:
        found = 0

        def look() -> bool:
            nonlocal found
            words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found = int(words[0]) if words else 0
            return bool(found)

        self._await(look, "the node's first process", "init")
        return found

    def _link(self) -> None:
        place = self._place
        _run("ip", "link", "add", place.link, "type", "veth", "peer", "name", place.node_link)
        try:
            _run("ip", "link", "set", place.node_link, "netns", str(self._init))
            _run("ip", "address", "add", f"{place.host_address}/30", "dev", place.link)
            _run("ip", "link", "set", place.link, "up")
            for network in (place.pods, place.services):
                _run("ip", "route", "add", network, "via", place.node_address)
        except SandboxError:
            subprocess.run(["ip", "link", "del", place.link], capture_output=True, check=False)
            raise

    def stop(self) -> list[Path]:
        """Ends everything in it; returns control groups that could not be removed (none)."""
        for process in reversed(self._supervisor.all()):
            if process.name != "init":
                self._supervisor.stop(process.name, grace=0.0)
        self._supervisor.stop("init", grace=0.0)
        shutil.rmtree(self._place.root / "containerd", ignore_errors=True)
        return control_groups.remove(self._place.control_group)

    # -- components ----------------------------------------------------------------------------

    def argv(self, argv: Sequence[str]) -> list[str]:
        """A command line that runs `argv` inside the node."""
        enter = ["nsenter", f"--target={self._init}", "--net", "--mount", "--pid", "--uts", "--ipc"]
        joined = [str(path) for path in self._joined]
        return ["/bin/sh", "-c", _JOIN, "join", *joined, "--", *enter, *argv]

    def run(self, *argv: str, timeout: float = 300.0) -> str:
        """The output of a command inside the node. Raises SandboxError if it fails."""
        return _run(*self.argv(argv), timeout=timeout, environment=self._environment)

    def _start(self, name: str, argv: Sequence[str], *, grace: float = 2.0) -> None:
        self._supervisor.start(name, self.argv(argv), env=self._environment, grace=grace)

    def _start_storage(self) -> None:
        place = self._place
        self._start("etcd", components.etcd(place, parts.ensure("etcd")))
        self._start("containerd", components.containerd(place, self._debian))
        socket = Path(f"/proc/{self._init}/root{components.SOCKET}")
        self._await(socket.exists, "containerd", "containerd")

    def start_api_server(self) -> None:
        """Starts the API server, or starts it again; returns when it is ready."""
        binary = parts.ensure("kube-apiserver")
        argv = components.api_server(self._place, binary, self.pki)
        self._start("kube-apiserver", argv, grace=1.0)
        self._await(self.api_ready, "the API server", "kube-apiserver")

    def stop_api_server(self, *, crash: bool = False) -> None:
        """SIGTERM, or SIGKILL (`crash`)."""
        self._supervisor.stop("kube-apiserver", grace=0.0 if crash else 5.0)

    def api_ready(self) -> bool:
        """Whether GET /readyz answers 200."""
        try:
            context = ssl.create_default_context(cafile=str(self.pki.authority.certificate_file))
            context.load_cert_chain(self._place.pki / "admin.crt", self._place.pki / "admin.key")
            url = f"{self._place.api_server}/readyz"
            with urllib.request.urlopen(url, timeout=2, context=context) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def import_images(self, archives: Sequence[Path]) -> None:
        """Archives (Docker's or OCI's) into containerd, under the names that they carry."""
        ctr = str(self._debian / "usr/bin/ctr")
        for archive in archives:
            self.run(ctr, "-n", "k8s.io", "images", "import", str(archive))

    def _start_rest(self) -> None:
        place, pki = self._place, self.pki
        binary = parts.ensure
        self._start(
            "kube-controller-manager",
            components.controller_manager(place, binary("kube-controller-manager"), pki),
        )
        self._start("kube-scheduler", components.scheduler(binary("kube-scheduler"), pki))
        self._start("kubelet", components.kubelet(place, binary("kubelet"), pki))
        self._start("kube-proxy", components.proxy(place, binary("kube-proxy"), pki))

    def _await(self, true: object, what: str, process: str, seconds: float = 60.0) -> None:
        assert callable(true)
        pause = threading.Event()
        for _ in range(int(seconds / 0.05)):
            if true():
                return
            one = self._supervisor.get(process)
            if one is not None and not one.alive:
                raise SandboxError(
                    f"{process} has ended with exit code {one.exit_code}\n{one.log_tail()}\n"
                    f"  the whole log: {one.log}"
                )
            pause.wait(0.05)
        one = self._supervisor.get(process)
        tail = one.log_tail() if one else ""
        raise SandboxError(f"{what}: not ready within {seconds:.0f} s\n{tail}")


def _run(
    *argv: str, timeout: float = 30.0, environment: Mapping[str, str] | None = None
) -> str:
    import os

    env = {**os.environ, **environment} if environment else None
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, env=env
    )
    if done.returncode:
        shown = " ".join(argv[-8:])
        raise SandboxError(f"`{shown}` failed: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout
