"""The cluster's certificates and the kubeconfigs of its components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sluice.cluster.place import Place
from sluice.sandbox.certificates import Authority, Certificate, signing_key
from sluice.sandbox.processes import write_atomically

# Who -> common name and organisation, as kubeadm names them.
_CLIENTS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
}


class Pki:
    """Everything in `place.pki`, made anew each time: a cluster does not outlive its directory."""

    def __init__(self, place: Place, nodes: int) -> None:
        self._place = place
        authority = Authority(place.pki, "kubernetes")
        self.authority = authority.own
        self.api_server = authority.issue(
            "apiserver",
            "kube-apiserver",
            hosts=(
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                "localhost",
                "127.0.0.1",
                place.node(0).address,
                place.api_service,
            ),
            server=True,
        )
        self.api_server_to_kubelet = authority.issue(
            "apiserver-kubelet-client",
            "kube-apiserver-kubelet-client",
            organisation="system:masters",
        )
        self.front_proxy = authority.issue("front-proxy-client", "front-proxy-client")
        self.service_accounts = signing_key(place.pki, "service-accounts")
        for user, (name, organisation) in _CLIENTS.items():
            self._kubeconfig(user, authority.issue(user, name, organisation=organisation))
        self.kubelets = []
        for node in (place.node(index) for index in range(nodes)):
            name = f"system:node:{node.name}"
            client = authority.issue(node.name, name, organisation="system:nodes")
            self._kubeconfig(node.name, client)
            hosts = (node.name, node.address)
            self.kubelets.append(
                authority.issue(f"{node.name}-server", node.name, hosts=hosts, server=True)
            )

    def kubeconfig(self, user: str) -> Path:
        """The file of `admin`, `controller-manager`, `scheduler`, `proxy`, or of a node by name."""
        return self._place.pki / f"{user}.kubeconfig"

    def _kubeconfig(self, user: str, certificate: Certificate) -> None:
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "sluice",
                    "cluster": {
                        "server": self._place.api_server,
                        "certificate-authority": str(self.authority.certificate_file),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate": str(certificate.certificate_file),
                        "client-key": str(certificate.key_file),
                    },
                }
            ],
            "contexts": [{"name": "sluice", "context": {"cluster": "sluice", "user": user}}],
            "current-context": "sluice",
        }
        write_atomically(self.kubeconfig(user), yaml.safe_dump(config, sort_keys=False))
