"""What the operator's own installation decides: images, ports, the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

ENGINE_CONTAINER = "seldon-container-engine"
NO_ENGINE = "seldon.io/no-engine"
SEPARATE_ENGINE = "seldon.io/engine-separate-pod"
SERVICE_NAME = "seldon.io/svc-name"
CONTROLLER_ID = "seldon.io/controller-id"
LAST_APPLIED = "seldon.io/last-applied"
ISTIO_GATEWAY = "seldon.io/istio-gateway"
ISTIO_HOST = "seldon.io/istio-host"
DEPLOYMENT_ID = "seldon-deployment-id"


@dataclass(frozen=True)
class Settings:
    """Defaults as recorded: Istio on, Ambassador and KEDA off, no controller id.

    Ports count up from the `first_*` values: HTTP and gRPC within a predictor, metrics over the
    whole SeldonDeployment.
    """

    gateway: str = "istio-system/seldon-gateway"
    engine_image: str = "docker.io/seldonio/seldon-core-executor:1.17.1"
    engine_http_port: int = 8000
    engine_grpc_port: int = 5001
    engine_cpu: str = "500m"
    engine_memory: str = "512Mi"
    engine_user: int = 8888
    request_logger: str = "http://default-broker"
    metrics_path: str = "/prometheus"
    first_http_port: int = 9000
    first_grpc_port: int = 9500
    first_metrics_port: int = 6000
    controller_id: str = ""
