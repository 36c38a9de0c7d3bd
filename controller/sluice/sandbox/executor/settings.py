"""What one executor has to know: its flags, and the predictor from ENGINE_PREDICTOR."""

from __future__ import annotations

import argparse
import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import UsageError

LOCALHOST = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Logger:
    """What the graph's node has logged: `mode` is request, response or all, `url` the sink."""

    mode: str
    url: str


@dataclass(frozen=True)
class Unit:
    """The one model of the predictor's graph, and where it listens."""

    name: str
    image: str
    image_version: str
    host: str
    service_port: int
    http_port: int
    grpc_port: int
    logger: Logger | None = None


@dataclass(frozen=True)
class Settings:
    """`bind_host`: the pod's address. `model_host`: what `unit.host` means on this machine.

    `log_queue` bodies may wait to be logged, and one that finds the queue full waits for
    `log_write_timeout` seconds at most. `source` is what logged events call this executor.

    Timeouts are seconds; Seldon takes them as milliseconds from the annotations
    `seldon.io/rest-timeout` and `seldon.io/grpc-timeout`.
    """

    deployment: str
    namespace: str
    predictor: str
    unit: Unit
    http_port: int
    grpc_port: int
    metrics_path: str
    bind_host: str
    model_host: str
    rest_timeout: float
    grpc_timeout: float
    log_queue: int = 10_000
    log_write_timeout: float = 2.0
    source: str = "http://localhost:8000/"


# The real one waits for ever without an annotation; a limit keeps a stuck model from piling up.
_LONGEST_WAIT = 300.0


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings of the command line and the environment. Raises UsageError."""
    flags = _parser().parse_args(arguments)
    predictor = _predictor(environment.get("ENGINE_PREDICTOR", ""))
    unit = _unit(predictor, environment.get("REQUEST_LOGGER_DEFAULT_ENDPOINT", ""))
    hostname = flags.hostname or environment.get("POD_NAME") or "localhost"
    pod_address = environment.get("SLUICE_POD_IP", "")
    own = pod_address or "127.0.0.1"
    annotations = _annotations(environment.get("SLUICE_PODINFO", "/etc/podinfo"))
    return Settings(
        deployment=flags.sdep,
        namespace=flags.namespace,
        predictor=flags.predictor or predictor.get("name", ""),
        unit=unit,
        http_port=flags.http_port,
        grpc_port=flags.grpc_port,
        metrics_path=flags.prometheus_path,
        bind_host=pod_address or "0.0.0.0",  # noqa: S104 - as the real one, in its own pod
        model_host=own if unit.host in LOCALHOST else unit.host,
        rest_timeout=_seconds(annotations.get("seldon.io/rest-timeout")),
        grpc_timeout=_seconds(annotations.get("seldon.io/grpc-timeout")),
        log_queue=flags.log_work_buffer_size,
        log_write_timeout=flags.log_write_timeout_ms / 1000,
        source=f"http://{hostname}:{flags.http_port}/",
    )


def split_image(image: str) -> tuple[str, str]:
    """`repo/m:1` -> (`repo/m`, `1`); without a tag the version is empty."""
    name, colon, version = image.rpartition(":")
    if not colon or "/" in version:
        return image, ""
    return name, version


def _predictor(encoded: str) -> dict[str, Any]:
    try:
        predictor = json.loads(base64.b64decode(encoded, validate=True))
        assert isinstance(predictor, dict)
        assert isinstance(predictor["graph"], dict)
    except (binascii.Error, ValueError, AssertionError, KeyError) as error:
        raise UsageError(
            "expected the predictor as base64 JSON with a graph in the environment variable "
            f"ENGINE_PREDICTOR, found {encoded[:40]!r} ({error or type(error).__name__}): the "
            "operator writes it into the container's environment"
        ) from error
    return predictor


def _unit(predictor: Mapping[str, Any], log_sink: str) -> Unit:
    graph = predictor["graph"]
    kind = graph.get("type", "MODEL")
    if graph.get("children") or kind not in ("MODEL", "UNKNOWN_TYPE"):
        raise UsageError(
            f"expected a graph of one node of type MODEL, found {graph.get('name')} of type {kind} "
            f"with {len(graph.get('children') or ())} children: this stand-in serves single models"
        )
    endpoint = graph.get("endpoint") or {}
    service_port = int(endpoint.get("service_port") or endpoint.get("httpPort") or 9000)
    image, version = split_image(_image(predictor, graph["name"]))
    return Unit(
        name=graph["name"],
        image=image,
        image_version=version,
        host=endpoint.get("service_host") or "localhost",
        service_port=service_port,
        http_port=int(endpoint.get("httpPort") or service_port),
        grpc_port=int(endpoint.get("grpcPort") or 9500),
        logger=_logger(graph.get("logger"), log_sink),
    )


def _logger(node: Mapping[str, Any] | None, sink: str) -> Logger | None:
    """A node's `logger`; without a URL it is the one that the operator is configured with."""
    if not node:
        return None
    url = node.get("url")
    return Logger(mode=str(node.get("mode", "")), url=sink if url is None else str(url))


def _image(predictor: Mapping[str, Any], name: str) -> str:
    for spec in predictor.get("componentSpecs") or ():
        for container in (spec.get("spec") or {}).get("containers") or ():
            if container.get("name") == name:
                return str(container.get("image", ""))
    return ""


def _annotations(podinfo: str) -> dict[str, str]:
    """The downward API's file: one `key="value"` a line. Empty if there is none."""
    try:
        lines = Path(podinfo, "annotations").read_text().splitlines() if podinfo else []
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key.strip(): value.strip().strip('"') for key, value in pairs}


def _seconds(milliseconds: str | None) -> float:
    if milliseconds is None or not milliseconds.isdigit():
        return _LONGEST_WAIT
    return int(milliseconds) / 1000 or _LONGEST_WAIT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sluice.sandbox.executor",
        description="A stand-in for the Seldon Core 1.17.1 executor, with its flags.",
    )
    parser.add_argument("--sdep", required=True, help="name of the SeldonDeployment")
    parser.add_argument("--namespace", default="", help="its namespace")
    parser.add_argument("--predictor", default="", help="default: the name in ENGINE_PREDICTOR")
    parser.add_argument("--http_port", type=int, default=8000)
    parser.add_argument("--grpc_port", type=int, default=5001, help="0: no gRPC")
    parser.add_argument("--prometheus_path", default="/metrics")
    parser.add_argument("--log_work_buffer_size", type=int, default=10_000)
    parser.add_argument("--log_write_timeout_ms", type=int, default=2000)
    parser.add_argument("--hostname", default="", help="default: $POD_NAME, else localhost")
    # Given by the operator, and without influence here: both transports are always served, the
    # model is called with the caller's protocol.
    for name in ("protocol", "transport", "server_type", "full_health_checks", "port"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    return parser
