"""The real Envoy of a sandbox, and how it is changed without interrupting traffic."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from sluice.sandbox import parts
from sluice.sandbox.envoy_config import Files
from sluice.sandbox.processes import Supervisor
from sluice.sandbox.routing import Cluster, Routing

REMOVAL_DELAY_SECONDS = 5.0
WARM_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Envoy:
    """The real Envoy of a sandbox: HTTP on 127.0.0.1, any port; `apply` changes what it does."""

    def __init__(self, supervisor: Supervisor, directory: Path, *, name: str = "envoy") -> None:
        self._supervisor = supervisor
        self._name = name
        self._files = Files(directory)
        self._clusters: dict[str, Cluster] = {}
        self._routes: list[dict[str, Any]] | None = None
        self._leaving: dict[str, float] = {}
        self._port = self._admin_port = 0

    @property
    def url(self) -> str:
        """Where clients send requests."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def admin(self) -> str:
        """`host:port` of the admin interface (`/stats/prometheus`)."""
        return f"127.0.0.1:{self._admin_port}"

    def start(self) -> None:
        """Start Envoy (again on the same ports). Raises ToolError or SandboxError."""
        self._files.write_clusters(self._clusters.values())
        self._files.write_routes(self._routes or [])
        self._files.write_bootstrap(listener_port=self._port, admin_port=self._admin_port)
        self._files.admin_address.unlink(missing_ok=True)
        self._supervisor.start(
            self._name,
            [
                str(parts.ensure("envoy")),
                "--config-path",
                str(self._files.bootstrap),
                "--admin-address-path",
                str(self._files.admin_address),
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warn",
            ],
            ready=self._learn_ports,
            deadline=120,
            grace=2.0,
        )

    def stop(self) -> None:
        self._supervisor.stop(self._name)

    def _learn_ports(self) -> bool:
        try:
            self._admin_port = int(self._files.admin_address.read_text().rpartition(":")[2])
            answer = json.loads(self._ask("/listeners?format=json"))
        except (OSError, ValueError):
            return False
        for listener in answer.get("listener_statuses", ()):
            self._port = int(listener["local_address"]["socket_address"]["port_value"])
            return True
        return False

    def _ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=2) as answer:
            return str(answer.read().decode())

    def apply(self, routing: Routing) -> None:
        """Make before break: endpoints, clusters, routes; clusters no route names go later."""
        wanted = routing.clusters
        for name, cluster in wanted.items():
            before = self._clusters.get(name)
            if before is None or before.endpoints != cluster.endpoints:
                self._files.write_endpoints(cluster)
        changed = any(
            (was := self._clusters.get(name)) is None
            or (was.http2, was.idle_seconds) != (now.http2, now.idle_seconds)
            for name, now in wanted.items()
        )
        for name in self._clusters.keys() - wanted.keys():
            self._leaving.setdefault(name, time.monotonic() + REMOVAL_DELAY_SECONDS)
        for name in wanted:
            self._leaving.pop(name, None)
        self._clusters = {**self._clusters, **wanted}
        if changed:
            self._files.write_clusters(self._clusters.values())
        if routing.virtual_hosts != self._routes:
            self._await(wanted)
            self._files.write_routes(routing.virtual_hosts)
            self._routes = routing.virtual_hosts

    def remove_left(self) -> float | None:
        """Drop the clusters whose time has come; seconds until the next, None if there is none."""
        now = time.monotonic()
        due = [name for name, when in self._leaving.items() if when <= now]
        if due:
            for name in due:
                del self._leaving[name], self._clusters[name]
            self._files.write_clusters(self._clusters.values())
            for name in due:
                self._files.remove_endpoints(name)
        return min(self._leaving.values()) - now if self._leaving else None

    def _await(self, wanted: Mapping[str, Cluster]) -> None:
        """Wait until Envoy has these clusters and endpoints: a route before them answers 503."""
        expected = {f"{name}::" for name in wanted}
        for name, cluster in wanted.items():
            expected |= {f"{name}::{host}:{port}::" for host, port in cluster.endpoints}
        deadline = time.monotonic() + WARM_SECONDS
        pause, known = threading.Event(), ""
        while time.monotonic() < deadline:
            try:
                known = self._ask("/clusters")
            except OSError:
                return  # Envoy is down; it will read all files when it starts
            if all(one in known for one in expected):
                return
            pause.wait(0.01)
        log.warning(
            "gateway.clusters.cold", missing=sorted(one for one in expected if one not in known)
        )
