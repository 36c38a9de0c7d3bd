"""A real etcd and kube-apiserver for the tests of this folder, on ephemeral loopback ports.

`cluster` is shared by the whole run: make your objects in the `namespace` fixture's namespace.
`module_cluster` is one file's own, `own_cluster` one test's, to be stopped and restarted at will.
No controllers run: a Deployment makes no Pods, and a deleted Namespace never goes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.kube.client import Client, RequestObserver, Timeout
from sluice.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
)
from sluice.sandbox import objects
from sluice.sandbox.control_plane import ControlPlane
from sluice.sandbox.processes import Supervisor
from sluice.sandbox.up import SYSTEM_NAMESPACE

SHIPPED_ROLES = (
    "sluice-controller",
    "sluice-controller-routes",
    "sluice-controller-preflight",
    "sluice-controller-retraining",
)


@dataclass
class Cluster:
    """A running API server, and ways to be somebody on it."""

    control_plane: ControlPlane
    supervisor: Supervisor
    directory: Path
    client: Client
    """The admin's (system:masters)."""

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self.control_plane.kubeconfig("admin")

    def client_for(
        self,
        kubeconfig: Path | None = None,
        *,
        timeout: Timeout | None = None,
        on_request: RequestObserver | None = None,
    ) -> Client:
        """A new client: the admin's, or that of another kubeconfig."""
        return Client.connect(
            kubeconfig=str(kubeconfig or self.kubeconfig), timeout=timeout, on_request=on_request
        )

    def kubeconfig_with(self, token: str, *, namespace: str = "default") -> Path:
        """A kubeconfig for any bearer token."""
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        config["contexts"][0]["context"]["namespace"] = namespace
        path = self.directory / f"user-{secrets.token_hex(4)}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    def user(
        self,
        namespace: str,
        *,
        rules: list[dict[str, Any]] | None = None,
        cluster_rules: list[dict[str, Any]] | None = None,
        roles: tuple[str, ...] = (),
        cluster_roles: tuple[str, ...] = (),
    ) -> Path:
        """The kubeconfig of a new ServiceAccount in `namespace`, with exactly these rights.

        `rules` hold in the namespace, `cluster_rules` everywhere; `roles` and `cluster_roles` name
        roles that are there already (a cluster role is bound cluster-wide).
        """
        name = f"user-{secrets.token_hex(4)}"
        user = f"system:serviceaccount:{namespace}:{name}"
        self.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": name}}, namespace)
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        if rules is not None:
            self.client.create(ROLES, {"metadata": {"name": name}, "rules": rules}, namespace)
            roles = (*roles, name)
        if cluster_rules is not None:
            self.client.create(CLUSTER_ROLES, {"metadata": {"name": name}, "rules": cluster_rules})
            cluster_roles = (*cluster_roles, name)
        for kind, names, binding in (
            ("Role", roles, ROLE_BINDINGS),
            ("ClusterRole", cluster_roles, CLUSTER_ROLE_BINDINGS),
        ):
            for role in names:
                bound = {
                    "metadata": {"name": f"{name}-{role}"},
                    "subjects": [subject],
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": kind,
                        "name": role,
                    },
                }
                self.client.create(binding, bound, namespace)
                where = namespace if kind == "Role" else ""
                in_force = self.client.get(
                    ROLES if kind == "Role" else CLUSTER_ROLES, role, where or None
                )["rules"]
                objects.await_allowed(self.client, user, in_force or (), namespace=where)
        answer = self.client.request(
            "create",
            f"{SERVICE_ACCOUNTS.path(name, namespace)}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )
        return self.kubeconfig_with(answer["status"]["token"], namespace=namespace)

    def await_shipped_rights(self) -> None:
        """The API server knows all that the shipped roles grant the controller, once applied."""
        account = f"system:serviceaccount:{SYSTEM_NAMESPACE}:sluice-controller"
        for role in SHIPPED_ROLES:
            rules = self.client.get(CLUSTER_ROLES, role)["rules"]
            objects.await_allowed(self.client, account, rules)
        rules = self.client.get(ROLES, "sluice-controller-leader", SYSTEM_NAMESPACE)["rules"]
        objects.await_allowed(self.client, account, rules, namespace=SYSTEM_NAMESPACE)

    def new_namespace(self, prefix: str = "test") -> str:
        """A fresh namespace's name."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.client.create(NAMESPACES, {"metadata": {"name": name}})
        return name


def running(directory: Path) -> Iterator[Cluster]:
    supervisor = Supervisor(directory)
    try:
        control_plane = ControlPlane(supervisor, directory, controllers=False)
        control_plane.start()
        client = Client.connect(kubeconfig=str(control_plane.kubeconfig("admin")))
        try:
            yield Cluster(control_plane, supervisor, directory, client)
        finally:
            client.close()
    finally:
        left = supervisor.close()
        assert left == 0, f"{left} processes of the test cluster could not be ended"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The run's API server."""
    yield from running(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server for the tests of one file, for what would be in others' way."""
    yield from running(tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """An API server of the test's own (2 to 3 s to start)."""
    yield from running(tmp_path)


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A namespace of the test's own."""
    return cluster.new_namespace()
