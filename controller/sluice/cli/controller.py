"""`sluice controller`: the process that runs in the cluster."""

from __future__ import annotations

import os
import socket
import uuid
from typing import Annotated

import typer

from sluice.api.builtin import DEFAULT_POLICY
from sluice.cli.options import Context, Kubeconfig
from sluice.errors import UsageError

_SYSTEM_NAMESPACE = "sluice-system"


def run(
    prometheus_url: Annotated[
        str, typer.Option(envvar="SLUICE_PROMETHEUS_URL", help="Base URL of Prometheus.")
    ] = "http://prometheus.monitoring:9090",
    dialect: Annotated[
        str,
        typer.Option(envvar="SLUICE_DIALECT", help="Whose metrics: seldon, istio or envoy."),
    ] = "seldon",
    prometheus_token_file: Annotated[
        str | None, typer.Option(help="File with a bearer token; read again when it changes.")
    ] = None,
    prometheus_ca_file: Annotated[str | None, typer.Option(help="CA certificate (PEM).")] = None,
    prometheus_header: Annotated[
        list[str] | None, typer.Option(help="Extra header, NAME=VALUE; may be repeated.")
    ] = None,
    prometheus_timeout: Annotated[float, typer.Option(help="Seconds a query may take.")] = 10.0,
    namespace_label: Annotated[str, typer.Option(help="Label of the pod's namespace.")] = (
        "namespace"
    ),
    pod_label: Annotated[str, typer.Option(help="Label of the pod's name.")] = "pod",
    pulse: Annotated[float, typer.Option(help="Seconds between metrics reads.")] = 10.0,
    status_interval: Annotated[
        float, typer.Option(help="Seconds between writes of numbers alone to a status.")
    ] = 60.0,
    settle: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds a ready candidate waits for gateways to learn its addresses."
        ),
    ] = 5.0,
    monitoring_interval: Annotated[
        float, typer.Option(help="Seconds between looks at promoted models (spec.monitoring).")
    ] = 30.0,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace", "-n", help="Watch this namespace alone; may be repeated. Default: all."
        ),
    ] = None,
    default_policy: Annotated[
        str,
        typer.Option(help="ClusterCanaryPolicy of rollouts without a policyRef."),
    ] = DEFAULT_POLICY,
    rights_interval: Annotated[
        float, typer.Option(help="Seconds between looks at the controller's own rights.")
    ] = 300.0,
    http_address: Annotated[
        str, typer.Option(help="Where /healthz, /readyz and /metrics are served.")
    ] = "0.0.0.0:8080",
    lease_namespace: Annotated[
        str, typer.Option(envvar="POD_NAMESPACE", help="Where the leader's Lease is.")
    ] = _SYSTEM_NAMESPACE,
    lease_seconds: Annotated[float, typer.Option(help="How long a lost leader blocks.")] = 15.0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Reconcile threads.")] = 4,
    preflights: Annotated[
        int, typer.Option(min=1, max=32, help="Preflights under way at a time.")
    ] = 2,
    audit_log: Annotated[
        str | None,
        typer.Option(help="Append a JSON line a decision to this file; - is standard output."),
    ] = None,
    webhook_allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host that gates' webhooks may name, such as *.example.com; may be repeated. "
            "Default: services of the cluster, and any other name by https."
        ),
    ] = None,
    webhook_key_file: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PATH of a key that signs requests to webhooks; may be repeated."),
    ] = None,
    webhook_ca_file: Annotated[
        str | None, typer.Option(help="CA certificate (PEM) that webhooks are held to.")
    ] = None,
    log_format: Annotated[str, typer.Option(help="json or text.")] = "json",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run the controller until SIGTERM; several may run, one leads."""
    from sluice.loops import health, logs
    from sluice.loops.controller import run_controller
    from sluice.loops.settings import ControllerSettings, PrometheusSettings, WebhookSettings

    if log_format not in ("json", "text"):
        raise UsageError(f"--log-format {log_format}: expected json or text")
    if not prometheus_url.startswith(("http://", "https://")):
        raise UsageError(
            f"--prometheus-url {prometheus_url}: expected a URL such as http://prometheus:9090"
        )
    for option, value in (
        ("--pulse", pulse),
        ("--prometheus-timeout", prometheus_timeout),
        ("--status-interval", status_interval),
        ("--rights-interval", rights_interval),
        ("--monitoring-interval", monitoring_interval),
    ):
        if value <= 0:
            raise UsageError(f"{option} {value:g}: expected more than 0 seconds")
    if lease_seconds < 1:
        raise UsageError(
            f"--lease-seconds {lease_seconds:g}: expected at least 1, since it has to be renewed "
            "in time"
        )
    health.host_and_port(http_address)
    headers = parse_headers(prometheus_header or [])
    keys = _pairs("--webhook-key-file", "NAME=PATH", webhook_key_file or [])
    try:
        logs.configure(json=log_format == "json", level=log_level)
    except KeyError:
        raise UsageError(
            f"--log-level {log_level}: expected debug, info, warning or error"
        ) from None
    prometheus = PrometheusSettings(
        url=prometheus_url,
        dialect=dialect,
        token_file=prometheus_token_file,
        ca_file=prometheus_ca_file,
        headers=headers,
        timeout=prometheus_timeout,
        namespace_label=namespace_label,
        pod_label=pod_label,
    )
    name = os.environ.get("POD_NAME") or socket.gethostname()
    settings = ControllerSettings(
        prometheus=prometheus,
        namespaces=tuple(dict.fromkeys(namespace or ())),
        default_policy=default_policy,
        rights_interval=rights_interval,
        lease_namespace=lease_namespace,
        identity=f"{name}_{uuid.uuid4().hex[:8]}",
        lease_seconds=lease_seconds,
        renew_deadline=lease_seconds * 2 / 3,
        retry_period=max(0.2, lease_seconds * 2 / 15),
        pulse=pulse,
        status_interval=status_interval,
        settle=settle,
        monitoring_interval=monitoring_interval,
        workers=workers,
        preflights=preflights,
        listen=http_address,
        webhooks=WebhookSettings(
            allow_hosts=tuple(webhook_allow_host or ()),
            keys=keys,
            ca_file=webhook_ca_file,
        ),
        audit_log=audit_log,
    )
    raise typer.Exit(run_controller(settings, kubeconfig=kubeconfig, context=context))


def parse_headers(given: list[str]) -> dict[str, str]:
    """From NAME=VALUE to headers. Raises UsageError, without showing what was given."""
    return _pairs("--prometheus-header", "NAME=VALUE", given)


def _pairs(option: str, form: str, given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"{option}: expected {form}")  # without its value: it may be secret
        pairs[name] = value
    return pairs
