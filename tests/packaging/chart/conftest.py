"""A real API server of these tests' own, and the tools that a user has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.kube.client import Client
from sluice.sandbox import objects
from sluice.sandbox.up import CRDS
from tests.api.conftest import Cluster, running
from tests.packaging.chart.rendering import tool

MONITORING = {"ServiceMonitor": "servicemonitors", "PodMonitor": "podmonitors"}
MONITORING |= {"PrometheusRule": "prometheusrules"}


class Shop:
    """A cluster, and helm and kubectl to work on it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client: Client = cluster.client

    def run(self, name: str, *args: str) -> subprocess.CompletedProcess[str]:
        """One of the tools, to its end."""
        env = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        home = self.cluster.directory / "helm"
        env |= {f"HELM_{kind}_HOME": str(home) for kind in ("CACHE", "CONFIG", "DATA")}
        argv = [str(tool(name)), *args]
        return subprocess.run(argv, capture_output=True, text=True, env=env, cwd=home.parent)

    def ok(self, name: str, *args: str) -> str:
        """The output of a command that must succeed."""
        done = self.run(name, *args)
        assert done.returncode == 0, f"{' '.join(args)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def kubectl(self, *args: str) -> str:
        return self.ok("kubectl", *args)

    def helm(self, *args: str) -> str:
        return self.ok("helm", *args)

    def namespace(self, name: str, **labels: str) -> None:
        """Make it, if it is not there."""
        objects.apply(
            self.client,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
        )

    def fake_crds(self, *crds: dict[str, Any]) -> None:
        """Others' CRDs, and wait for them."""
        for crd in crds:
            objects.apply(self.client, crd)
        objects.await_established(self.client, [crd["metadata"]["name"] for crd in crds])


def monitoring_crds() -> list[dict[str, Any]]:
    """The Prometheus operator's kinds, as far as what we write has to be served at all.

    Their fields are not checked by these: the operator's own CRDs do that in a cluster.
    """
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.monitoring.coreos.com"},
            "spec": {
                "group": "monitoring.coreos.com",
                "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                "scope": "Namespaced",
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {
                            "openAPIV3Schema": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            }
                        },
                    }
                ],
            },
        }
        for kind, plural in MONITORING.items()
    ]


def seldons() -> list[dict[str, Any]]:
    """The CRDs of Seldon and Istio."""
    return objects.read_manifests(CRDS)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """An empty cluster of the test's own."""
    for cluster in running(tmp_path):
        yield Shop(cluster)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A cluster for the tests of one file."""
    for cluster in running(tmp_path_factory.mktemp("cluster")):
        yield Shop(cluster)
