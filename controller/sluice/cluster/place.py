"""Where one cluster is: its directory, and addresses that no other cluster of the machine has."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sluice.errors import SandboxError
from sluice.sandbox.parts import cache_directory

MOST = 32
API_PORT = 6443


@dataclass(frozen=True)
class Place:
    """`number` keeps clusters that are up at once apart: addresses, interface, control group.

    The ranges are below 10.0.0.0/8, away from the usual defaults of kubeadm, kind and Docker.
    """

    root: Path
    number: int

    @property
    def host_address(self) -> str:
        """This machine, as the node sees it."""
        return f"10.199.{self.number}.1"

    @property
    def node_address(self) -> str:
        return f"10.199.{self.number}.2"

    @property
    def pods(self) -> str:
        return f"10.200.{self.number}.0/24"

    @property
    def services(self) -> str:
        return f"10.201.{self.number}.0/24"

    @property
    def api_service(self) -> str:
        """The address of the Service `kubernetes`: always the range's first."""
        return f"10.201.{self.number}.1"

    @property
    def dns_service(self) -> str:
        return f"10.201.{self.number}.10"

    @property
    def node_name(self) -> str:
        return f"node-{self.number}"

    @property
    def link(self) -> str:
        """The interface on this machine's side."""
        return f"sluice{self.number}"

    @property
    def node_link(self) -> str:
        return f"sluice{self.number}n"

    @property
    def control_group(self) -> str:
        return f"sluice-{self.number}"

    @property
    def api_server(self) -> str:
        return f"https://{self.node_address}:{API_PORT}"

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
