"""One node: namespaces that are a machine of their own, with containerd, kubelet and kube-proxy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sluice.cluster import components, control_groups, init
from sluice.cluster.pki import Pki
from sluice.cluster.place import NodePlace
from sluice.errors import SandboxError
from sluice.sandbox import debian, parts
from sluice.sandbox.processes import Process, Supervisor

# Joins the control groups whose files it is given up to `--`, then becomes what follows.
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'


class Machine:
    """`debian_root`: where the Debian packages are unpacked."""

    def __init__(self, place: NodePlace, supervisor: Supervisor, debian_root: Path) -> None:
        self.place = place
        self._supervisor = supervisor
        self._debian = debian_root
        self._environment: Mapping[str, str] = debian.environment(debian_root)
        self._init = 0
        self._joined: list[Path] = []

    def name_of(self, process: str) -> str:
        """The name of one of its processes: those of node 0 have no suffix."""
        return process if self.place.index == 0 else f"{process}-{self.place.index}"

    # -- namespaces ----------------------------------------------------------------------------

    def start(self, linked_to: Machine | None = None) -> None:
        """Makes the namespaces, and the link to this machine or to another node.

        Raises SandboxError.
        """
        place = self.place
        place.root.mkdir(parents=True, exist_ok=True)
        told = place.root / "init.json"
        told.write_text(json.dumps(components.told_init(place)))
        control_groups.remove(place.control_group)  # of one whose owner was killed
        self._joined = control_groups.make(place.control_group)
        process = self._supervisor.start(
            self.name_of("init"),
            [
                *("unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork"),
                *("--kill-child", "--mount-proc"),
                *(sys.executable, "-I", "-S", init.__file__, str(told)),
            ],
        )
        self._init = self._child_of(process)
        self._link(linked_to)
        self.wait_for((place.root / "ready").exists, "init", "the node's namespaces")

    def _child_of(self, process: Process) -> int:
        found: list[str] = []

        def look() -> bool:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            found[:] = children.read_text().split() if children.exists() else []
            return bool(found)

        self.wait_for(look, "init", "the node's first process")
        return int(found[0])

    def _link(self, other: Machine | None) -> None:
        place = self.place
        out = other.argv if other else _as_it_is
        _forget(place.other_link)
        run("ip", "link", "add", place.other_link, "type", "veth", "peer", "name", place.link)
        try:
            run("ip", "link", "set", place.link, "netns", str(self._init))
            if other:
                run("ip", "link", "set", place.other_link, "netns", str(other._init))
        except SandboxError:
            _forget(place.other_link)
            raise
        cluster = place.cluster
        run(*out(["ip", "address", "add", f"{place.gateway}/30", "dev", place.other_link]))
        run(*out(["ip", "link", "set", place.other_link, "up"]))
        networks = [place.pods] if other else [cluster.pods, cluster.services, cluster.links]
        for network in networks:
            run(*out(["ip", "route", "add", network, "via", place.address]))

    def stop(self) -> list[Path]:
        """Ends everything in it; returns control groups that could not be removed (none)."""
        # The kernel takes its time to clear a network namespace; a link goes at once.
        _forget(self.place.other_link)
        self._supervisor.stop(self.name_of("init"), grace=0.0)
        # Some hundred thousand files of images: Python would take several times as long.
        subprocess.run(["rm", "-rf", str(self.place.root)], capture_output=True, check=False)
        return control_groups.remove(self.place.control_group)

    # -- processes -----------------------------------------------------------------------------

    def argv(self, argv: Sequence[str]) -> list[str]:
        """A command line that runs `argv` inside the node."""
        enter = ["nsenter", f"--target={self._init}", "--net", "--mount", "--pid", "--uts", "--ipc"]
        joined = [str(path) for path in self._joined]
        return ["/bin/sh", "-c", _JOIN, "join", *joined, "--", *enter, *argv]

    def run(self, *argv: str, timeout: float = 300.0) -> str:
        """The output of a command inside the node. Raises SandboxError if it fails."""
        return run(*self.argv(argv), timeout=timeout, environment=self._environment)

    def launch(self, name: str, argv: Sequence[str], *, grace: float = 2.0) -> None:
        """Start a process inside the node."""
        self._supervisor.start(
            self.name_of(name), self.argv(argv), env=self._environment, grace=grace
        )

    def start_containers(self, images: Sequence[Path]) -> None:
        """Starts containerd and imports archives of images, under the names that they carry."""
        self.launch("containerd", components.containerd(self.place, self._debian))
        socket = Path(f"/proc/{self._init}/root{components.SOCKET}")
        self.wait_for(socket.exists, "containerd", "containerd")
        ctr = str(self._debian / "usr/bin/ctr")
        for archive in images:
            self.run(ctr, "-n", "k8s.io", "images", "import", "--digests", str(archive))

    def start_kubelet(self, pki: Pki) -> None:
        """Starts kubelet and kube-proxy: the node registers itself."""
        kubelet = components.kubelet(self.place, parts.ensure("kubelet"), pki)
        self.launch("kubelet", kubelet)
        self.launch("kube-proxy", components.proxy(self.place, parts.ensure("kube-proxy"), pki))

    def wait_for(
        self, true: Callable[[], bool], process: str, what: str, seconds: float = 60.0
    ) -> None:
        """Until it is so. Raises SandboxError if the process ends before, or it takes too long."""
        pause = threading.Event()
        for _ in range(int(seconds / 0.05)):
            if true():
                return
            one = self._supervisor.get(self.name_of(process))
            if one is not None and not one.alive:
                raise SandboxError(
                    f"{one.name} has ended with exit code {one.exit_code}\n{one.log_tail()}\n"
                    f"  the whole log: {one.log}"
                )
            pause.wait(0.05)
        one = self._supervisor.get(self.name_of(process))
        tail = one.log_tail() if one else ""
        raise SandboxError(f"{what}: not ready within {seconds:.0f} s\n{tail}")


def _forget(link: str) -> None:
    """Removes an interface of this machine, if it is there. The name is ours by its number."""
    subprocess.run(["ip", "link", "del", link], capture_output=True, check=False)


def _as_it_is(argv: Sequence[str]) -> list[str]:
    return list(argv)


def run(*argv: str, timeout: float = 30.0, environment: Mapping[str, str] | None = None) -> str:
    """The output of a command of this machine. Raises SandboxError if it fails."""
    env = {**os.environ, **environment} if environment else None
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, env=env
    )
    if done.returncode:
        shown = " ".join(argv[-8:])
        raise SandboxError(f"`{shown}` failed: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout
