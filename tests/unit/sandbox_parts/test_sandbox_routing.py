"""From VirtualServices and pods to Envoy's routes and clusters."""

from __future__ import annotations

from typing import Any

from sluice.sandbox.routing import World, compute, is_ready

HOST = "iris-{0}.prod.svc.cluster.local"


def virtual_service(**weights: int | None) -> dict[str, Any]:
    routes = []
    for subset, weight in weights.items():
        port = {"number": 8000}
        target = {"host": HOST.format(subset), "subset": subset, "port": port}
        routes.append({"destination": target} | ({} if weight is None else {"weight": weight}))
    rule = {
        "match": [{"uri": {"prefix": "/seldon/prod/iris/"}}],
        "rewrite": {"uri": "/"},
        "route": routes,
    }
    return {"metadata": {"namespace": "prod", "name": "iris"}, "spec": {"http": [rule]}}


def service(predictor: str, *, port: int = 8000, name: str = "http") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "prod", "name": f"iris-{predictor}"},
        "spec": {
            "selector": {"seldon-app": f"iris-{predictor}"},
            "ports": [{"name": name, "port": port, "targetPort": port}],
        },
    }


def rule(predictor: str) -> dict[str, Any]:
    subsets = [{"name": predictor, "labels": {"version": predictor}}]
    return {
        "metadata": {"namespace": "prod", "name": f"iris-{predictor}"},
        "spec": {"host": HOST.format(predictor), "subsets": subsets},
    }


def pod(predictor: str, address: str, *, ready: bool = True, **labels: str) -> dict[str, Any]:
    own = {"seldon-app": f"iris-{predictor}", "version": predictor} | labels
    return {
        "metadata": {"namespace": "prod", "name": f"{predictor}-{address}", "labels": own},
        "spec": {"containers": []},
        "status": {
            "podIP": address,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def weights_of(world: World) -> list[tuple[str, int]]:
    [host] = compute(world).virtual_hosts
    entries = host["routes"][0]["route"]["weighted_clusters"]["clusters"]
    return [(entry["name"].split("|")[2], entry["weight"]) for entry in entries]


def test_weights_are_those_of_the_virtual_service() -> None:
    assert weights_of(World([virtual_service(main=80, canary=20)])) == [
        ("main", 80),
        ("canary", 20),
    ]


def test_a_missing_weight_is_zero() -> None:
    assert weights_of(World([virtual_service(main=None, canary=100)])) == [
        ("main", 0),
        ("canary", 100),
    ]


def test_a_single_route_without_weight_gets_everything() -> None:
    assert weights_of(World([virtual_service(main=None)])) == [("main", 100)]


def test_no_weight_at_all_answers_503_instead_of_a_refused_configuration() -> None:
    [host] = compute(World([virtual_service(main=None, canary=None)])).virtual_hosts
    assert host["routes"][0]["direct_response"]["status"] == 503


def test_the_answer_says_which_predictor_it_came_from() -> None:
    [host] = compute(World([virtual_service(main=80, canary=20)])).virtual_hosts
    for entry in host["routes"][0]["route"]["weighted_clusters"]["clusters"]:
        [header] = entry["response_headers_to_add"]
        assert header["header"] == {
            "key": "x-sluice-predictor",
            "value": entry["name"].split("|")[2],
        }


def test_grpc_is_matched_by_headers_and_a_regular_expression() -> None:
    vs = virtual_service(main=100)
    vs["spec"]["http"][0]["match"] = [
        {"uri": {"regex": ".*seldon.protos.*"}, "headers": {"seldon": {"exact": "iris"}}}
    ]
    [host] = compute(World([vs])).virtual_hosts
    assert host["routes"][0]["match"] == {
        "safe_regex": {"regex": ".*seldon.protos.*"},
        "headers": [{"name": "seldon", "string_match": {"exact": "iris"}}],
    }


def test_a_mirror_without_percentage_takes_everything_and_one_with_it_its_share() -> None:
    vs = virtual_service(main=100)
    vs["spec"]["http"][0]["mirror"] = {
        "host": HOST.format("shadow"),
        "subset": "shadow",
        "port": {"number": 8000},
    }

    def mirrored() -> int:
        [host] = compute(World([vs])).virtual_hosts
        [policy] = host["routes"][0]["route"]["request_mirror_policies"]
        return int(policy["runtime_fraction"]["default_value"]["numerator"])

    assert mirrored() == 1_000_000
    vs["spec"]["http"][0]["mirrorPercentage"] = {"value": 10}
    assert mirrored() == 100_000


def endpoints_of(world: World, subset: str = "main") -> tuple[tuple[str, int], ...]:
    host = HOST.format(subset)
    return compute(world).clusters[f"outbound|8000|{subset}|{host}"].endpoints


def test_endpoints_are_ready_pods_of_selector_and_subset() -> None:
    leaving = pod("main", "127.64.0.9")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pods = [
        pod("main", "127.64.0.3"),
        pod("main", "127.64.0.2"),
        pod("main", "127.64.0.4", ready=False),
        pod("main", "127.64.0.5", version="other"),
        pod("canary", "127.64.0.6"),
        leaving,
    ]
    world = World([virtual_service(main=100)], [rule("main")], [service("main")], pods)
    assert endpoints_of(world) == (("127.64.0.2", 8000), ("127.64.0.3", 8000))


def test_a_subset_no_destination_rule_knows_has_no_endpoints() -> None:
    world = World([virtual_service(main=100)], [], [service("main")], [pod("main", "127.64.0.2")])
    assert endpoints_of(world) == ()


def test_a_named_target_port_is_looked_up_in_the_pod() -> None:
    svc = service("main")
    svc["spec"]["ports"][0]["targetPort"] = "web"
    target = pod("main", "127.64.0.2")
    target["spec"]["containers"] = [{"ports": [{"name": "web", "containerPort": 8123}]}]
    world = World([virtual_service(main=100)], [rule("main")], [svc], [target])
    assert endpoints_of(world) == (("127.64.0.2", 8123),)


def test_a_port_named_grpc_is_spoken_to_in_http2() -> None:
    for name, http2 in (("http", False), ("grpc", True), ("grpc-web", True), ("http2", True)):
        world = World([virtual_service(main=100)], [rule("main")], [service("main", name=name)])
        [cluster] = compute(world).clusters.values()
        assert cluster.http2 is http2


def test_a_pod_without_address_is_not_ready() -> None:
    target = pod("main", "127.64.0.2")
    del target["status"]["podIP"]
    assert not is_ready(target)
