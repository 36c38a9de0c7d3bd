"""The ways to a predictor's own Service, past the traffic split.

Inside the cluster by its name. From outside by way of the API server's proxy of Services, which
needs no port-forward and nothing but the right to it. A pod on a loopback address, as in the
sandbox, is asked itself: the API server proxies to no such address.
"""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from sluice.api.status import RolloutStatus
from sluice.compare.answers import Answer
from sluice.compare.asking import Side
from sluice.compare.url import PATH, Url
from sluice.errors import ApiError, ForbiddenError, NotAllowedError
from sluice.kube.client import Client
from sluice.kube.transport import Timeout
from sluice.resources import PODS, SELDON_DEPLOYMENTS
from sluice.seldon.containers import address_of, service_name

_KUBERNETES = "Status"


class Proxied:
    """A predictor's Service behind the API server."""

    def __init__(
        self, client: Client, namespace: str, service: str, port: int, path: str = PATH
    ) -> None:
        self._client = client
        target = quote(f"http:{service}:{port}", safe=":")
        self._path = f"/api/v1/namespaces/{quote(namespace)}/services/{target}/proxy{path}"
        self.where = f"{service}.{namespace}:{port} through the API server"

    def ask(self, body: str) -> Answer:
        begun = time.perf_counter()
        try:
            status, got = self._client.exchange("POST", self._path, json.loads(body))
        except ApiError as error:
            late = "timed out" in str(error)
            words = "timeout" if late else "no connection"
            return Answer(0, time.perf_counter() - begun, trouble=words, reached=late)
        seconds = time.perf_counter() - begun
        # What the proxy itself has to say is no answer of the model.
        if status >= 400 and (said := _of_kubernetes(got)):
            return Answer(0, seconds, got, trouble=said, reached=False)
        return Answer(status, seconds, got)

    def close(self) -> None:
        """Its connections are the client's."""


def path_of(protocol: str, predictor: Mapping[str, Any]) -> str:
    """Where predictions are asked for, by the SeldonDeployment's protocol."""
    name = quote(str((predictor.get("graph") or {}).get("name", "")))
    return {
        "v2": f"/v2/models/{name}/infer",
        "kfserving": f"/v2/models/{name}/infer",
        "tensorflow": f"/v1/models/{name}:predict",
    }.get(protocol, PATH)


def in_cluster() -> bool:
    """This process is a pod's, and Services have names and addresses for it."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def predictor_side(
    client: Client,
    namespace: str,
    deployment: str,
    predictor: Mapping[str, Any],
    *,
    protocol: str,
    timeout: float,
    parallel: int,
    inside: bool,
) -> Url | Proxied:
    """One predictor's own Service. `inside` the cluster: by its name. Raises ApiError."""
    path = path_of(protocol, predictor)
    service = service_name(deployment, predictor)
    address = address_of(deployment, namespace, predictor)
    port = urlsplit(address).port or 8000
    if inside:
        return Url(address, timeout=timeout, parallel=parallel, path=path, outside=True)
    pod = _loopback(client, namespace, service)
    if pod is not None:
        return Url(f"http://{pod}:{port}", timeout=timeout, parallel=parallel, path=path)
    calm = client.with_timeout(Timeout(min(5.0, timeout), timeout))
    _may(calm, namespace, service, port)
    return Proxied(calm, namespace, service, port, path)


def sides(
    client: Client, rollout: dict[str, Any], namespace: str, *, timeout: float, parallel: int
) -> tuple[Side, Side]:
    """Stable and candidate. Raises NotAllowedError where no rollout is in progress, and
    ForbiddenError where the proxy may not be used."""
    name = rollout["metadata"]["name"]
    status = RolloutStatus.model_validate(rollout.get("status") or {})
    if status.stable is None or status.candidate is None:
        raise NotAllowedError(
            f"{namespace}/{name} has no rollout in progress (phase {status.phase}): there is no "
            "candidate to compare with; give --stable URL and --candidate URL for other versions"
        )
    deployment = (rollout.get("spec") or {}).get("seldonDeploymentName") or name
    sdep = client.get(SELDON_DEPLOYMENTS, deployment, namespace)
    predictors = {one["name"]: one for one in sdep["spec"].get("predictors") or []}
    found: list[Side] = []
    for revision in (status.stable, status.candidate):
        predictor = predictors.get(revision.predictor)
        if predictor is None:
            raise NotAllowedError(
                f"{namespace}/{name}: predictor {revision.predictor} is not in the "
                "SeldonDeployment yet; wait until the candidate is there"
            )
        found.append(
            predictor_side(
                client, namespace, deployment, predictor, timeout=timeout, parallel=parallel,
                protocol=str(sdep["spec"].get("protocol", "")), inside=False,
            )
        )  # fmt: skip
    return found[0], found[1]


def _loopback(client: Client, namespace: str, service: str) -> str | None:
    """The address of a ready pod of the Service, if it is on this machine alone."""
    pods = client.list(PODS, namespace, label_selector=f"seldon-app={service}").items
    for pod in pods:
        status = pod.get("status") or {}
        address = status.get("podIP")
        ready = any(
            one.get("type") == "Ready" and one.get("status") == "True"
            for one in status.get("conditions") or []
        )
        if ready and address and ipaddress.ip_address(address).is_loopback:
            return str(address)
    return None


def _may(client: Client, namespace: str, service: str, port: int) -> None:
    """One look at the right, rather than a refusal for every request."""
    asked = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": namespace, "verb": "create", "resource": "services",
                "subresource": "proxy", "name": f"http:{service}:{port}",
            }
        },
    }  # fmt: skip
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    if not (client.request("create", path, asked).get("status") or {}).get("allowed"):
        raise ForbiddenError(
            f"expected the right to create services/proxy in namespace {namespace}, which requests "
            f"to Service {service} go through; ask for it, or give --stable URL and --candidate URL"
        )


def _of_kubernetes(body: bytes) -> str:
    """What the API server says where the answer is its own; "" where it is the model's."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    if isinstance(found, dict) and found.get("kind") == _KUBERNETES and "apiVersion" in found:
        return f"API server: {found.get('reason') or found.get('code')}"
    return ""
