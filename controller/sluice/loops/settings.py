"""What `sluice controller` can be told. All times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from sluice.api.builtin import DEFAULT_POLICY


@dataclass(frozen=True)
class PrometheusSettings:
    """Where and how metrics are read."""

    url: str = "http://prometheus.monitoring:9090"
    dialect: str = "seldon"
    token_file: str | None = None
    ca_file: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float = 10.0
    namespace_label: str = "namespace"
    pod_label: str = "pod"


@dataclass(frozen=True)
class WebhookSettings:
    """How gates' webhooks are asked: see `sluice.loops.posting.HostRules`.

    `keys` are the files of HMAC keys by name; `threads` how many requests are under way at once.
    """

    allow_hosts: tuple[str, ...] = ()
    keys: dict[str, str] = field(default_factory=dict)
    ca_file: str | None = None
    threads: int = 4


@dataclass(frozen=True)
class ControllerSettings:
    """The controller's settings; the defaults are for production.

    `pulse` is how often metrics are read, `status_interval` how often numbers alone (no change of
    verdict, step or phase) are written to a status, `namespaces` () means the whole cluster,
    `default_policy` is the ClusterCanaryPolicy of rollouts that name none, `rights_interval` how
    often the controller looks whether it has its rights, `audit_log` a file's path, or "-" for
    standard output. `settle`: seconds between a candidate's readiness and its first traffic.
    `preflights`: so many are under way at a time.
    `monitoring_interval` is how often promoted models are looked at that ask for it.
    """

    prometheus: PrometheusSettings = field(default_factory=PrometheusSettings)
    namespaces: tuple[str, ...] = ()
    default_policy: str = DEFAULT_POLICY
    rights_interval: float = 300.0
    lease_namespace: str = "sluice-system"
    lease_name: str = "sluice-controller"
    identity: str = "sluice"
    lease_seconds: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    pulse: float = 10.0
    status_interval: float = 60.0
    settle: float = 5.0
    preflights: int = 2
    monitoring_interval: float = 30.0
    workers: int = 4
    listen: str = "0.0.0.0:8080"
    dry_run: bool = False
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    audit_log: str | None = None
