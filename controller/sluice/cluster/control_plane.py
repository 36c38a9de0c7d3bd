"""etcd, the API server, the controller manager and the scheduler, on a cluster's node 0."""

from __future__ import annotations

import ssl
import urllib.request

from sluice.cluster import components
from sluice.cluster.machine import Machine
from sluice.cluster.pki import Pki
from sluice.cluster.place import Place
from sluice.sandbox import parts
from sluice.sandbox.processes import Supervisor


class ControlPlane:
    """What kubeadm would run as static pods, as processes."""

    def __init__(self, place: Place, node: Machine, pki: Pki, supervisor: Supervisor) -> None:
        self._place = place
        self._node = node
        self._pki = pki
        self._supervisor = supervisor

    def start(self) -> None:
        """Starts all of it; returns when the API server is ready. Raises SandboxError."""
        self._node.launch("etcd", components.etcd(self._place, parts.ensure("etcd")))
        self.start_api_server()
        pki = self._pki
        manager = parts.ensure("kube-controller-manager")
        self._node.launch(
            "kube-controller-manager", components.controller_manager(self._place, manager, pki)
        )
        self._node.launch(
            "kube-scheduler", components.scheduler(parts.ensure("kube-scheduler"), pki)
        )

    def start_api_server(self) -> None:
        """Starts the API server, or starts it again; returns when it is ready."""
        binary = parts.ensure("kube-apiserver")
        argv = components.api_server(self._place, binary, self._pki)
        # It would wait a minute for the watches of others to end.
        self._node.launch("kube-apiserver", argv, grace=1.0)
        self._node.wait_for(self.ready, "kube-apiserver", "the API server")

    def stop_api_server(self, *, crash: bool = False) -> None:
        """SIGTERM, or SIGKILL (`crash`)."""
        self._supervisor.stop("kube-apiserver", grace=0.0 if crash else None)

    def ready(self) -> bool:
        """Whether GET /readyz answers 200."""
        try:
            context = ssl.create_default_context(cafile=str(self._pki.authority.certificate_file))
            context.load_cert_chain(self._place.pki / "admin.crt", self._place.pki / "admin.key")
            url = f"{self._place.api_server}/readyz"
            with urllib.request.urlopen(url, timeout=2, context=context) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False
