"""Envoy's configuration files: the bootstrap, and the resources it watches. Pure but for writing.

Envoy reads routes, clusters and endpoints from files and notices when one is replaced by a rename.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sluice.sandbox.processes import write_atomically
from sluice.sandbox.routing import Cluster

_TYPE = "type.googleapis.com/envoy."
_MANAGER = f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HTTP_OPTIONS = f"{_TYPE}extensions.upstreams.http.v3.HttpProtocolOptions"
_UNLIMITED = 4_294_967_295
# Istio's cluster names contain dots; without this rule Envoy cuts the label at the first.
_CLUSTER_TAG = r"^cluster\.((outbound\|.+?\.svc\.cluster\.local|[^.]+)\.)"
_BUCKETS_MS = (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)


class Files:
    """The files of one Envoy below `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bootstrap = directory / "bootstrap.json"
        self.admin_address = directory / "admin-address"
        self._routes = directory / "routes.json"
        self._clusters = directory / "clusters.json"
        self._version = 0
        directory.mkdir(parents=True, exist_ok=True)

    def write_bootstrap(self, *, listener_port: int, admin_port: int) -> None:
        """Port 0: any. The resource files must exist when Envoy starts."""
        write_atomically(
            self.bootstrap,
            json.dumps(_bootstrap(self._routes, self._clusters, listener_port, admin_port)),
        )

    def write_routes(self, virtual_hosts: list[dict[str, Any]]) -> None:
        """Replace the route table."""
        config = {
            "@type": f"{_TYPE}config.route.v3.RouteConfiguration",
            "name": "gateway",
            "virtual_hosts": virtual_hosts,
            "validate_clusters": False,
        }
        self._write(self._routes, [config])

    def write_clusters(self, clusters: Iterable[Cluster]) -> None:
        """Replace the set of clusters (not their endpoints)."""
        self._write(self._clusters, [self._cluster(cluster) for cluster in clusters])

    def write_endpoints(self, cluster: Cluster) -> None:
        """Replace one cluster's endpoints."""
        name = cluster.destination.cluster
        endpoints = [
            {"endpoint": {"address": _address(host, port)}} for host, port in cluster.endpoints
        ]
        assignment = {
            "@type": f"{_TYPE}config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": endpoints}],
        }
        self._write(self._endpoints(name), [assignment])

    def remove_endpoints(self, name: str) -> None:
        """Forget a cluster's endpoints; the cluster must have been removed before."""
        self._endpoints(name).unlink(missing_ok=True)

    def _endpoints(self, name: str) -> Path:
        # Each cluster has a file of its own: Envoy takes one assignment per subscription.
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return self.directory / f"endpoints-{digest}.json"

    def _write(self, path: Path, resources: list[dict[str, Any]]) -> None:
        self._version += 1
        answer = {"version_info": str(self._version), "resources": resources}
        write_atomically(path, json.dumps(answer))

    def _cluster(self, cluster: Cluster) -> dict[str, Any]:
        name = cluster.destination.cluster
        protocol: dict[str, Any] = {"http_protocol_options": {}}
        if cluster.http2:
            protocol = {"http2_protocol_options": {}}
        limits = dict.fromkeys(
            ("max_connections", "max_pending_requests", "max_requests", "max_retries"), _UNLIMITED
        )
        return {
            "@type": f"{_TYPE}config.cluster.v3.Cluster",
            "name": name,
            "alt_stat_name": name,
            "type": "EDS",
            "eds_cluster_config": {
                "service_name": name,
                "eds_config": _watched(self._endpoints(name)),
            },
            "connect_timeout": "2s",
            "lb_policy": "LEAST_REQUEST",
            "circuit_breakers": {"thresholds": [limits]},
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": _HTTP_OPTIONS,
                    "common_http_protocol_options": {"idle_timeout": f"{cluster.idle_seconds}s"},
                    "explicit_http_config": protocol,
                }
            },
        }


def _watched(path: Path) -> Mapping[str, Any]:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _bootstrap(routes: Path, clusters: Path, listener_port: int, admin_port: int) -> dict[str, Any]:
    return {
        "node": {"id": "sandbox-gateway", "cluster": "sandbox"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "dynamic_resources": {"cds_config": _watched(clusters)},
        "static_resources": {"listeners": [_listener(routes, listener_port)]},
        "stats_config": stats_config(),
    }


def stats_config() -> dict[str, Any]:
    """How Envoy's series are labelled, and their buckets: as the `envoy` dialect reads them."""
    return {
        "use_all_default_tags": False,
        "stats_tags": [
            {"tag_name": "envoy.cluster_name", "regex": _CLUSTER_TAG},
            {"tag_name": "envoy.response_code"},
            {"tag_name": "envoy.response_code_class"},
            {"tag_name": "envoy.http_conn_manager_prefix"},
        ],
        "histogram_bucket_settings": [
            {"match": {"prefix": "cluster."}, "buckets": [float(edge) for edge in _BUCKETS_MS]}
        ],
    }


def _listener(routes: Path, port: int) -> dict[str, Any]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "gateway",
        "codec_type": "AUTO",
        "rds": {"route_config_name": "gateway", "config_source": _watched(routes)},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}extensions.filters.http.router.v3.Router"},
            }
        ],
        "use_remote_address": True,
        "stream_idle_timeout": "0s",
        "http2_protocol_options": {"max_concurrent_streams": 1024},
    }
    network = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "name": "gateway",
        "address": _address("127.0.0.1", port),
        "filter_chains": [{"filters": [network]}],
    }
