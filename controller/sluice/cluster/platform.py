"""What runs in the cluster before Sluice does: names, mesh, metrics, Seldon."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

import yaml

from sluice.cluster.scratch import Image
from sluice.errors import SandboxError
from sluice.sandbox import parts
from sluice.sandbox.envoy_config import stats_config
from sluice.sandbox.prometheus import configuration
from sluice.sandbox.up import CRDS

MANIFESTS = Path(__file__).parent / "platform"
_BINARIES = {
    "pause": "pause",
    "coredns": "coredns",
    "istiod": "pilot-discovery",
    "envoy": "envoy",
    "prometheus": "prometheus",
    "metrics-server": "metrics-server",
}
OPERATOR_IMAGE = "sluice.dev/seldon-operator-stand-in"
EXECUTOR_IMAGE = "sluice.dev/seldon-executor-stand-in"
_ISTIO_CRDS = "customresourcedefinitions.gen.yaml"
_OF_A_NODE = ("10-dns.yaml", "40-metrics-server.yaml")
# Name of the Deployment -> namespace, in the order in which they can become ready.
DEPLOYMENTS = {
    "coredns": "kube-system",
    "istiod": "istio-system",
    "istio-ingressgateway": "istio-system",
    "prometheus": "monitoring",
    "metrics-server": "kube-system",
    "seldon-controller-manager": "seldon-system",
}


def images() -> list[Image]:
    """The platform's own images, of one binary each."""
    return [Image(f"sluice.dev/{name}:1", parts.ensure(part)) for name, part in _BINARIES.items()]


def crds() -> list[dict[str, Any]]:
    """Istio's real definitions, and Seldon's SeldonDeployment."""
    istio = parts.ensure(_ISTIO_CRDS).read_text()
    seldon = (CRDS / "seldondeployments.yaml").read_text()
    return [obj for text in (istio, seldon) for obj in yaml.safe_load_all(text) if obj]


def manifests(
    dns_service: str, images: Iterable[str], *, scrape_seconds: float, whole_node: bool = True
) -> str:
    """Everything but the CRDs, as one stream of YAML.

    `images`: full names, among them those of the stand-ins. Without `whole_node` what a cluster of
    somebody's has already is left out.
    """
    values = {
        "dns": dns_service,
        "bootstrap": json.dumps(_bootstrap()),
        "prometheus": json.dumps(
            configuration(api_server=None, envoy_admin=None, scrape_seconds=scrape_seconds)
        ),
        "operator_image": _named(images, OPERATOR_IMAGE),
        "executor_image": _named(images, EXECUTOR_IMAGE),
    }
    files = [p for p in sorted(MANIFESTS.glob("*.yaml")) if whole_node or p.name not in _OF_A_NODE]
    texts = [Template(p.read_text()).substitute(values) for p in files]
    return "\n---\n".join(texts)


def _named(images: Iterable[str], name: str) -> str:
    return next(each for each in images if each.rpartition(":")[0] == name)


def kubectl(kubeconfig: Path, *args: str, given: str | None = None, timeout: float = 300.0) -> str:
    """kubectl's output. Raises SandboxError with what it said if it fails."""
    argv = [str(parts.ensure("kubectl")), f"--kubeconfig={kubeconfig}", *args]
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise SandboxError(f"kubectl {' '.join(args)}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def install(kubeconfig: Path, text: str) -> None:
    """CRDs first, then all else; returns when every Deployment is available."""
    definitions = yaml.safe_dump_all(crds())
    # Server-side: Istio's definitions are too long for kubectl's annotation.
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    kubectl(kubeconfig, *apply, given=definitions)
    kubectl(kubeconfig, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    kubectl(kubeconfig, *apply, given=text)


def await_available(kubeconfig: Path, *, whole_node: bool = True) -> None:
    """Until every Deployment of the platform is available. Raises SandboxError naming its pods."""
    for name, namespace in DEPLOYMENTS.items():
        if namespace == "kube-system" and not whole_node:
            continue
        where = (f"deployment/{name}", f"--namespace={namespace}")
        try:
            kubectl(kubeconfig, "rollout", "status", *where, "--timeout=120s")
        except SandboxError as error:
            pods = kubectl(kubeconfig, "get", "pods,events", f"--namespace={namespace}")
            logs = kubectl(kubeconfig, "logs", *where, "--tail=20")
            raise SandboxError(f"{error}\n{pods}\n{logs}") from error


def _bootstrap() -> dict[str, Any]:
    """Envoy's start: ask istiod for the rest; answer probes and scrapes."""
    metadata = {
        "NAMESPACE": "istio-system",
        "CLUSTER_ID": "Kubernetes",
        "LABELS": {"istio": "ingressgateway"},
    }
    return {
        "node": {"id": "given on the command line", "metadata": metadata},
        "admin": {"address": _address("127.0.0.1", 15000)},
        "stats_config": stats_config(),
        "dynamic_resources": {
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {
            "listeners": [
                _listener("probes", 15021, "/ready"),
                _listener("scrapes", 15090, "/stats/prometheus"),
            ],
            "clusters": [
                _cluster("admin", "STATIC", "127.0.0.1", 15000),
                _cluster("xds-grpc", "STRICT_DNS", "istiod.istio-system.svc", 15010, http2=True),
            ],
        },
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _cluster(name: str, kind: str, host: str, port: int, *, http2: bool = False) -> dict[str, Any]:
    cluster: dict[str, Any] = {
        "name": name,
        "type": kind,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(host, port)}}]}],
        },
    }
    if http2:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


def _listener(name: str, port: int, path: str) -> dict[str, Any]:
    http = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    route = {"match": {"path": path}, "route": {"cluster": "admin"}}
    manager = {
        "@type": f"type.googleapis.com/{http}",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
    }
    return {
        "name": name,
        "address": _address("0.0.0.0", port),  # noqa: S104 - the pod's own
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
