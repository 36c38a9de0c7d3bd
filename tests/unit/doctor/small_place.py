"""A cluster with everything Sluice needs, in memory; tests take something away."""

from __future__ import annotations

import copy
from email.utils import formatdate
from typing import Any

import yaml

from sluice._version import __version__
from sluice.api.crds import crds
from sluice.api.times import to_wire
from sluice.doctor.examine import Examination, Question
from sluice.doctor.findings import Finding, Level
from sluice.metrics.client import PrometheusClient
from sluice.resources import (
    CRDS,
    DEPLOYMENTS,
    GATEWAYS,
    LEASES,
    MODEL_ROLLOUTS,
    SELDON_DEPLOYMENTS,
    VALIDATING_WEBHOOKS,
    Resource,
)
from sluice.sandbox.up import CRDS as FOREIGN_CRDS
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube
from sluice.testing.prometheus import FakePrometheus

Object = dict[str, Any]
NOW = 1_790_000_000.0
POD = "iris-main-0-classifier-5d9c-x2x"
SHIPPED = tuple(crds().values())
FOREIGN = tuple(yaml.safe_load(path.read_text()) for path in sorted(FOREIGN_CRDS.glob("*.yaml")))
ESTABLISHED = {"conditions": [{"type": "Established", "status": "True"}]}
CONTAINER: Object = {
    "name": "classifier",
    "image": "registry.example/iris:1",
    "ports": [{"name": "metrics", "containerPort": 6000}],
    "readinessProbe": {"httpGet": {"path": "/health/status", "port": "http"}},
}
PREDICTOR: Object = {
    "name": "main",
    "graph": {"name": "classifier"},
    "componentSpecs": [{"spec": {"containers": [CONTAINER]}}],
}


def deployment(name: str, namespace: str, labels: Object, container: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {"serviceAccountName": "sluice-controller", "containers": [container]}
            },
        },
        "status": {"readyReplicas": 2},
    }


def crd_of(resource: Resource) -> Object:
    version = {"name": resource.version, "served": True, "schema": {"openAPIV3Schema": {}}}
    return {
        "metadata": {"name": resource.qualified},
        "spec": {
            "group": resource.group,
            "names": {"plural": resource.plural, "kind": resource.kind},
            "versions": [version],
        },
    }


class Place:
    """`kube` and `prometheus` are fakes; `prometheus` is scraped every 10 s."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.kube = FakeKube()
        self.kube.date = formatdate(NOW, usegmt=True)
        self.client = self.kube.client()
        self.prometheus = FakePrometheus()
        self.asked: list[str] = []
        for crd in (*SHIPPED, *FOREIGN, crd_of(GATEWAYS)):
            self.put(CRDS, {**copy.deepcopy(crd), "status": ESTABLISHED})
        self.put(
            DEPLOYMENTS,
            deployment(
                "sluice-controller",
                "sluice-system",
                {"app.kubernetes.io/name": "sluice", "app.kubernetes.io/component": "controller"},
                {
                    "name": "controller",
                    "image": f"registry.example/sluice-controller:{__version__}",
                    "args": ["controller", "--prometheus-url=http://prometheus.monitoring:9090"],
                },
            ),
        )
        self.put(
            DEPLOYMENTS,
            deployment(
                "seldon-controller-manager",
                "seldon-system",
                {"control-plane": "seldon-controller-manager"},
                {
                    "name": "manager",
                    "image": "docker.io/seldonio/seldon-core-operator:1.17.1",
                    "env": [
                        {"name": "ISTIO_ENABLED", "value": "true"},
                        {"name": "ISTIO_GATEWAY", "value": "istio-system/seldon-gateway"},
                    ],
                },
            ),
        )
        rule = {"apiGroups": ["machinelearning.seldon.io"]}
        hook = {"name": "seldon", "rules": [rule], "failurePolicy": "Fail"}
        self.put(VALIDATING_WEBHOOKS, {"metadata": {"name": "seldon"}, "webhooks": [hook]})
        gateway = {"metadata": {"name": "seldon-gateway", "namespace": "istio-system"}}
        self.put(GATEWAYS, gateway)
        self.lease(age=3)
        self.put(SELDON_DEPLOYMENTS, self.seldon_deployment(PREDICTOR))
        self.prometheus.answered("prod", "iris", "main", 10, pod=POD)
        self.scrape()

    # --- what a test says

    def put(self, resource: Resource, obj: Object) -> None:
        """Create or replace."""
        meta = obj["metadata"]
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        self.remove(resource, meta["name"], meta.get("namespace"))
        self.client.create(resource, whole, meta.get("namespace"))

    def remove(self, resource: Resource, name: str, namespace: str | None = None) -> None:
        found = [
            one
            for one in self.client.list(resource, namespace).items
            if one["metadata"]["name"] == name
        ]
        for _ in found:
            self.client.delete(resource, name, namespace)

    def change(self, resource: Resource, name: str, namespace: str | None, patch: Object) -> None:
        subresource = "status" if "status" in patch else None
        self.client.merge_patch(resource, name, namespace, patch, subresource=subresource)

    def arguments(self, *arguments: str) -> None:
        """The controller's."""
        path = "/spec/template/spec/containers/0/args"
        value = ["controller", "--prometheus-url=http://prometheus.monitoring:9090", *arguments]
        ops = [{"op": "replace", "path": path, "value": value}]
        self.client.json_patch(DEPLOYMENTS, "sluice-controller", "sluice-system", ops)

    def operator_says(self, **environment: str) -> None:
        path = "/spec/template/spec/containers/0/env"
        value = [{"name": name, "value": text} for name, text in environment.items()]
        ops = [{"op": "replace", "path": path, "value": value}]
        self.client.json_patch(DEPLOYMENTS, "seldon-controller-manager", "seldon-system", ops)

    def lease(self, *, age: float, holder: str | None = "sluice-controller-0_ab") -> None:
        spec: Object = {"leaseDurationSeconds": 15, "renewTime": to_wire(NOW - age)}
        if holder:
            spec["holderIdentity"] = holder
        meta = {"name": "sluice-controller", "namespace": "sluice-system"}
        self.put(LEASES, {"metadata": meta, "spec": spec})

    def seldon_deployment(self, *predictors: Object, **metadata: Any) -> Object:
        meta = {"name": "iris", "namespace": "prod", **metadata}
        return {"metadata": meta, "spec": {"predictors": list(predictors)}}

    def serve(self, *predictors: Object, **metadata: Any) -> None:
        """Replace iris."""
        self.put(SELDON_DEPLOYMENTS, self.seldon_deployment(*predictors, **metadata))

    def rollout(self, **status: Any) -> None:
        meta = {"name": "iris", "namespace": "prod"}
        whole = {"phase": "Stepping", "observedGeneration": 1, **status}
        self.put(MODEL_ROLLOUTS, {"metadata": meta, "spec": {}, "status": whole})

    def scrape(self, interval: float = 10.0, until: float = NOW) -> None:
        for i in (3, 2, 1, 0):
            self.prometheus.scrape(until - i * interval)

    # --- what it finds

    def run(self, scope: str | None = None, **question: Any) -> list[Finding]:
        def connect(url: str) -> PrometheusClient:
            self.asked.append(url)
            fake = self.prometheus
            return PrometheusClient(fake.url, adapter=fake.adapter())

        return Examination(self.client, connect, self.clock, Question(scope, **question)).run()

    def bad(self, **question: Any) -> dict[str, Finding]:
        """Warnings and errors by id."""
        levels = (Level.WARNING, Level.ERROR)
        return {f.id: f for f in self.run(**question) if f.level in levels}

    def all(self, **question: Any) -> dict[str, Finding]:
        return {finding.id: finding for finding in self.run(**question)}
