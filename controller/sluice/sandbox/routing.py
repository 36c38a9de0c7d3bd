"""From Istio's resources and Pods to what Envoy is told. Pure.

Weights are taken as Istio takes them: a route without `weight` gets nothing, unless it is the only
one. A destination is `host` + `port` + `subset`; its endpoints are the ready, not terminating pods
that the Service's selector and the subset's labels (from a DestinationRule) both select.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]
RETRIES = 2
RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
PREDICTOR_HEADER = "x-sluice-predictor"


@dataclass(frozen=True, order=True)
class Destination:
    """One weighted target of a route."""

    namespace: str
    service: str
    port: int
    subset: str

    @property
    def cluster(self) -> str:
        """The cluster's name, in Istio's form."""
        host = f"{self.service}.{self.namespace}.svc.cluster.local"
        return f"outbound|{self.port}|{self.subset}|{host}"


@dataclass(frozen=True)
class Cluster:
    """Where a destination's requests go. `endpoints` are (address, port), sorted."""

    destination: Destination
    http2: bool
    idle_seconds: float
    endpoints: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class World:
    """What the gateway sees."""

    virtual_services: Sequence[Object] = ()
    destination_rules: Sequence[Object] = ()
    services: Sequence[Object] = ()
    pods: Sequence[Object] = ()


@dataclass(frozen=True)
class Routing:
    """The configuration for Envoy: virtual hosts (Envoy's JSON form), clusters by name."""

    virtual_hosts: list[dict[str, Any]] = field(default_factory=list)
    clusters: dict[str, Cluster] = field(default_factory=dict)


def compute(world: World) -> Routing:
    """The routing for a world."""
    hosts: dict[str, list[dict[str, Any]]] = {}
    used: set[Destination] = set()
    for service in sorted(world.virtual_services, key=_age):
        namespace = service["metadata"]["namespace"]
        routes = [
            route
            for rule in service["spec"].get("http", ())
            for route in _routes(rule, namespace, used)
        ]
        for host in service["spec"].get("hosts") or ["*"]:
            hosts.setdefault(host, []).extend(routes)
    index = _Index(world)
    return Routing(
        virtual_hosts=[
            {
                "name": host,
                "domains": ["*"] if host == "*" else [host, f"{host}:*"],
                "routes": routes,
            }
            for host, routes in sorted(hosts.items())
        ],
        clusters={destination.cluster: index.cluster(destination) for destination in sorted(used)},
    )


def _age(obj: Object) -> tuple[str, str, str]:
    meta = obj["metadata"]
    return meta.get("creationTimestamp") or "", meta["namespace"], meta["name"]


def destination_of(spec: Object, namespace: str) -> Destination:
    """A VirtualService's `destination`, its host completed from the VirtualService's namespace."""
    name, _, rest = spec["host"].partition(".")
    port = int(spec.get("port", {}).get("number", 80))
    return Destination(rest.split(".")[0] or namespace, name, port, spec.get("subset", ""))


def _routes(rule: Object, namespace: str, used: set[Destination]) -> Iterable[dict[str, Any]]:
    action = _action(rule, namespace, used)
    for match in rule.get("match") or [{"uri": {"prefix": "/"}}]:
        yield {"match": _match(match), **action}


def _match(match: Object) -> dict[str, Any]:
    result: dict[str, Any] = {}
    kind, value = next(iter((match.get("uri") or {"prefix": "/"}).items()))
    if kind == "prefix":
        result["prefix"] = value
    elif kind == "exact":
        result["path"] = value
    else:
        result["safe_regex"] = {"regex": value}
    headers = dict(match.get("headers") or {})
    if "method" in match:
        headers[":method"] = match["method"]
    if headers:
        result["headers"] = [
            {"name": name, "string_match": _string_match(how)}
            for name, how in sorted(headers.items())
        ]
    return result


def _string_match(how: Object) -> dict[str, Any]:
    kind, value = next(iter(how.items()))
    return {"safe_regex": {"regex": value}} if kind == "regex" else {kind: value}


def _action(rule: Object, namespace: str, used: set[Destination]) -> dict[str, Any]:
    weighted = []
    routes = rule.get("route") or []
    for route in routes:
        weight = int(route.get("weight", 0)) if len(routes) > 1 else 100
        weighted.append((destination_of(route["destination"], namespace), weight))
    if sum(weight for _, weight in weighted) <= 0:
        body = {"inline_string": "no destination has any weight"}
        return {"direct_response": {"status": 503, "body": body}}
    used.update(destination for destination, _ in weighted)
    action: dict[str, Any] = {
        "weighted_clusters": {"clusters": [_weighted(*pair) for pair in weighted]},
        "timeout": rule.get("timeout", "0s"),
        "retry_policy": _retries(rule.get("retries") or {}),
    }
    if "uri" in (rule.get("rewrite") or {}):
        action["prefix_rewrite"] = rule["rewrite"]["uri"]
    if rule.get("mirror"):
        mirror = destination_of(rule["mirror"], namespace)
        used.add(mirror)
        action["request_mirror_policies"] = [_mirror(mirror, rule.get("mirrorPercentage"))]
    return {"route": action}


def _weighted(destination: Destination, weight: int) -> dict[str, Any]:
    header = {"key": PREDICTOR_HEADER, "value": destination.subset}
    return {
        "name": destination.cluster,
        "weight": weight,
        "response_headers_to_add": [
            {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }


def _mirror(destination: Destination, percentage: Object | None) -> dict[str, Any]:
    # Without a percentage Istio mirrors everything (facts: Seldon writes it so for traffic 0).
    percent = 100.0 if percentage is None else float(percentage.get("value", 0))
    share = {"numerator": round(percent * 10_000), "denominator": "MILLION"}
    return {"cluster": destination.cluster, "runtime_fraction": {"default_value": share}}


def _retries(retries: Object) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "retry_on": retries.get("retryOn", RETRY_ON),
        "num_retries": int(retries.get("attempts", RETRIES)),
        "retriable_status_codes": [503],
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host."
                    "previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
    if "perTryTimeout" in retries:
        policy["per_try_timeout"] = retries["perTryTimeout"]
    return policy


class _Index:
    """Finds Services, DestinationRules and pods of a world."""

    def __init__(self, world: World) -> None:
        self._services = {
            (obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for obj in world.services
        }
        self._rules = {}
        for rule in world.destination_rules:
            namespace = rule["metadata"]["namespace"]
            target = destination_of({"host": rule["spec"]["host"]}, namespace)
            self._rules[target.namespace, target.service] = rule
        self._pods = [pod for pod in world.pods if is_ready(pod)]

    def cluster(self, destination: Destination) -> Cluster:
        key = destination.namespace, destination.service
        service, rule = self._services.get(key), self._rules.get(key)
        policy = (rule or {}).get("spec", {}).get("trafficPolicy", {})
        idle = policy.get("connectionPool", {}).get("http", {}).get("idleTimeout", "3600s")
        port = self._port(service, destination.port)
        return Cluster(
            destination,
            http2=_speaks_http2(port),
            idle_seconds=_seconds(idle),
            endpoints=self._endpoints(destination, service, port, rule),
        )

    @staticmethod
    def _port(service: Object | None, number: int) -> Object:
        ports = (service or {}).get("spec", {}).get("ports", ())
        return next((port for port in ports if port["port"] == number), {})

    def _endpoints(
        self, destination: Destination, service: Object | None, port: Object, rule: Object | None
    ) -> tuple[tuple[str, int], ...]:
        selector = (service or {}).get("spec", {}).get("selector")
        if not selector or not port:
            return ()
        wanted = dict(selector)
        if destination.subset:
            subsets = (rule or {}).get("spec", {}).get("subsets", ())
            labels = [item["labels"] for item in subsets if item["name"] == destination.subset]
            if not labels:  # Istio knows no such cluster: requests get 503
                return ()
            wanted.update(labels[0])
        found = []
        for pod in self._pods:
            meta = pod["metadata"]
            own = meta.get("labels") or {}
            if meta["namespace"] == destination.namespace and wanted.items() <= own.items():
                target = _target_port(pod, port.get("targetPort", port["port"]))
                found.append((pod["status"]["podIP"], target))
        return tuple(sorted(found))


def is_ready(pod: Object) -> bool:
    """Whether a pod may get requests: Ready, with an address, not being deleted."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    status = pod.get("status") or {}
    ready = {"type": "Ready", "status": "True"}
    return bool(status.get("podIP")) and any(
        ready.items() <= condition.items() for condition in status.get("conditions") or ()
    )


def _target_port(pod: Object, target: int | str) -> int:
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            if port.get("name") == target:
                return int(port["containerPort"])
    return 0


def _speaks_http2(port: Object) -> bool:
    name = port.get("appProtocol") or port.get("name", "")
    return str(name).split("-")[0] in ("grpc", "http2")


def _seconds(duration: str) -> float:
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    for unit in ("ms", "s", "m", "h"):
        if duration.endswith(unit):
            return float(duration[: -len(unit)]) * units[unit]
    return 3600.0
