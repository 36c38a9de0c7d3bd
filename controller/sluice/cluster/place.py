"""Where one cluster is: its directory, and addresses that no other cluster of the machine has."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sluice.errors import SandboxError
from sluice.sandbox.parts import cache_directory

MOST = 32
MOST_NODES = 4
API_PORT = 6443


@dataclass(frozen=True)
class Place:
    """`number` keeps clusters that are up at once apart: addresses, interface, control group.

    The ranges are below 10.0.0.0/8, away from the usual defaults of kubeadm, kind and Docker. Node
    0 has the control plane and is linked to this machine; the others are linked to node 0.
    """

    root: Path
    number: int

    @property
    def host_address(self) -> str:
        """This machine, as node 0 sees it."""
        return f"10.199.{self.number}.1"

    @property
    def pods(self) -> str:
        """Of all nodes together."""
        return f"10.200.{self.number}.0/24"

    @property
    def services(self) -> str:
        return f"10.201.{self.number}.0/24"

    @property
    def links(self) -> str:
        """All addresses of nodes."""
        return f"10.199.{self.number}.0/24"

    @property
    def api_service(self) -> str:
        """The address of the Service `kubernetes`: always the range's first."""
        return f"10.201.{self.number}.1"

    @property
    def dns_service(self) -> str:
        return f"10.201.{self.number}.10"

    @property
    def api_server(self) -> str:
        return f"https://{self.node(0).address}:{API_PORT}"

    def node(self, index: int) -> NodePlace:
        """Where a node is."""
        return NodePlace(self, index)

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """For a person: the cluster's administrator."""
        return self.root / "kubeconfig"

    @property
    def access(self) -> Path:
        """JSON: what is needed to use the cluster. There while it is up."""
        return self.root / "access.json"


@dataclass(frozen=True)
class NodePlace:
    """Addresses and names of one node. Each has a /30 to whom it is linked with, and 62 pods."""

    cluster: Place
    index: int

    @property
    def root(self) -> Path:
        return self.cluster.root / self.name

    @property
    def name(self) -> str:
        return f"node-{self.index}"

    @property
    def address(self) -> str:
        return f"10.199.{self.cluster.number}.{4 * self.index + 2}"

    @property
    def gateway(self) -> str:
        """The other end of its link: this machine for node 0, node 0 for the others."""
        return f"10.199.{self.cluster.number}.{4 * self.index + 1}"

    @property
    def pods(self) -> str:
        return f"10.200.{self.cluster.number}.{64 * self.index}/26"

    @property
    def link(self) -> str:
        """Its own interface."""
        return f"sl{self.cluster.number}n{self.index}"

    @property
    def other_link(self) -> str:
        """The interface at the other end."""
        return f"sl{self.cluster.number}o{self.index}"

    @property
    def control_group(self) -> str:
        return f"sluice-{self.cluster.number}-{self.index}"


def claim(root: Path) -> tuple[Place, IO[str]]:
    """The place of a new cluster in `root`; its number is ours until the file is closed.

    Raises SandboxError if as many clusters as there are numbers are up.
    """
    numbers = cache_directory() / "clusters"
    numbers.mkdir(parents=True, exist_ok=True)
    for number in range(MOST):
        handle = (numbers / str(number)).open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            continue
        return Place(root, number), handle
    raise SandboxError(f"{MOST} clusters are up on this machine: take one of them down first")
