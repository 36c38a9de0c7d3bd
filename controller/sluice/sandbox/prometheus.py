"""A real Prometheus that finds the sandbox's pods as users' own do: by annotations."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import yaml

from sluice.sandbox import parts
from sluice.sandbox.ports import free_port
from sluice.sandbox.processes import Supervisor, write_atomically

_ANNOTATION = "__meta_kubernetes_pod_annotation_prometheus_io"


def configuration(
    *,
    api_server: str | None,
    certificate: Path | None = None,
    token_file: Path | None = None,
    envoy_admin: str | None,
    scrape_seconds: float,
) -> dict[str, Any]:
    """Scrape ready-made pods by annotation (ports named `metrics*`), and the gateway.

    Without `api_server` Prometheus is itself a pod, with an account of its own. Series get the
    labels namespace, pod, container and app; `namespace` comes from nowhere else.
    """
    discovery: dict[str, Any] = {"role": "pod"}
    if api_server:
        discovery |= {
            "api_server": api_server,
            "authorization": {"credentials_file": str(token_file)},
            "tls_config": {"ca_file": str(certificate)},
        }
    labels = [
        _replace(["__meta_kubernetes_namespace"], "namespace"),
        _replace(["__meta_kubernetes_pod_name"], "pod"),
        _replace(["__meta_kubernetes_pod_container_name"], "container"),
        _replace(["__meta_kubernetes_pod_label_app"], "app"),
    ]
    pods = {
        "job_name": "pods",
        # The Python model server announces its content type twice, which Prometheus 3 refuses.
        "fallback_scrape_protocol": "PrometheusText0.0.4",
        "kubernetes_sd_configs": [discovery],
        "relabel_configs": [
            _keep(f"{_ANNOTATION}_scrape", "true"),
            _keep("__meta_kubernetes_pod_container_port_name", "metrics(-.*)?"),
            _keep("__meta_kubernetes_pod_phase", "Running"),
            _replace([f"{_ANNOTATION}_path"], "__metrics_path__", regex="(.+)"),
            _replace(
                ["__meta_kubernetes_pod_ip", f"{_ANNOTATION}_port"],
                "__address__",
                regex="(.+);([0-9]+)",
                replacement="$1:$2",
            ),
            *labels,
        ],
    }
    jobs: list[dict[str, Any]] = [pods]
    if not api_server:
        jobs.append(_by_port(discovery, labels))
    if envoy_admin:
        gateway = {"namespace": "istio-system", "pod": "gateway"}
        jobs.append(
            {
                "job_name": "gateway",
                "metrics_path": "/stats/prometheus",
                "static_configs": [{"targets": [envoy_admin], "labels": gateway}],
            }
        )
    interval = f"{round(scrape_seconds * 1000)}ms"
    times = {"scrape_interval": interval, "scrape_timeout": interval}
    return {"global": {**times, "evaluation_interval": "1m"}, "scrape_configs": jobs}


def _by_port(discovery: dict[str, Any], labels: list[dict[str, Any]]) -> dict[str, Any]:
    """Pods that name their port in an annotation: the gateway, Sluice's controller."""
    return {
        "job_name": "pods-by-port",
        "kubernetes_sd_configs": [discovery],
        "relabel_configs": [
            _keep(f"{_ANNOTATION}_scrape", "true"),
            _keep("__meta_kubernetes_pod_phase", "Running"),
            {
                "source_labels": ["__meta_kubernetes_pod_container_port_number"],
                "action": "keepequal",
                "target_label": f"{_ANNOTATION}_port",
            },
            _replace([f"{_ANNOTATION}_path"], "__metrics_path__", regex="(.+)"),
            *labels,
        ],
    }


def _keep(label: str, regex: str) -> dict[str, Any]:
    return {"source_labels": [label], "action": "keep", "regex": regex}


def _replace(
    sources: list[str], target: str, *, regex: str = "(.*)", replacement: str = "$1"
) -> dict[str, Any]:
    return {
        "source_labels": sources,
        "action": "replace",
        "regex": regex,
        "target_label": target,
        "replacement": replacement,
    }


class Prometheus:
    """Prometheus on 127.0.0.1. Stopped and started again it has the same port and data."""

    def __init__(
        self, supervisor: Supervisor, directory: Path, *, name: str = "prometheus"
    ) -> None:
        self._supervisor = supervisor
        self._directory = directory
        self._name = name
        self._port = 0

    @property
    def url(self) -> str:
        """The base URL, for `--prometheus-url`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def token_file(self) -> Path:
        """Where the API server's token for Prometheus is kept (0600)."""
        return self._directory / "token"

    def configure(self, config: dict[str, Any], *, token: str = "") -> None:
        """Write configuration and token; takes effect at the next start."""
        self._directory.mkdir(parents=True, exist_ok=True)
        write_atomically(self.token_file, token)
        text = yaml.safe_dump(config, sort_keys=False)
        write_atomically(self._directory / "prometheus.yaml", text)

    def start(self) -> None:
        """Start it; returns when it answers queries. Raises ToolError or SandboxError."""
        self._port = self._port or free_port()
        self._supervisor.start(
            self._name,
            [
                str(parts.ensure("prometheus")),
                f"--config.file={self._directory / 'prometheus.yaml'}",
                f"--storage.tsdb.path={self._directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--storage.tsdb.retention.time=2d",
                "--log.level=warn",
            ],
            ready=self.ready,
            deadline=120,
            grace=10.0,
        )

    def stop(self) -> None:
        """Stop it; the data stays."""
        self._supervisor.stop(self._name)

    def ready(self) -> bool:
        """Whether it answers queries now."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False
