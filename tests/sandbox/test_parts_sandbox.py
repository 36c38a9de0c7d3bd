"""The sandbox's own machinery on real parts: pods, gateway, Prometheus, and its end."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from waiting import until

from sluice.resources import (
    DEPLOYMENTS,
    DESTINATION_RULES,
    PODS,
    SERVICES,
    VIRTUAL_SERVICES,
)
from sluice.sandbox import owner, parts, processes
from sluice.sandbox.containers import Command
from sluice.sandbox.guardian import tagged
from sluice.sandbox.layout import Layout
from sluice.sandbox.progress import Silent
from sluice.sandbox.routing import PREDICTOR_HEADER
from sluice.sandbox.up import Options, Sandbox

BACKEND = Path(__file__).parent / "parts_backend.py"
IMAGES = {
    "test/backend": lambda image: Command([sys.executable, str(BACKEND)]),
    "test/crashing": lambda image: Command([sys.executable, "-c", "raise SystemExit(3)"]),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    options = Options(operator=False, controller=False, images=IMAGES, scrape_seconds=1.0)
    instance = Sandbox(Layout(tmp_path_factory.mktemp("sandbox")), options)
    instance.up()
    try:
        yield instance
    finally:
        assert instance.down() == 0


def deployment(name: str, image: str = "test/backend", replicas: int = 1) -> dict[str, Any]:
    container = {
        "name": "model",
        "image": image,
        "ports": [{"name": "metrics", "containerPort": 8000}],
        "readinessProbe": {
            "httpGet": {"path": "/", "port": "metrics"},
            "initialDelaySeconds": 20,
            "periodSeconds": 5,
        },
    }
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/path": "/metrics"}
    labels = {"app": name, "version": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"containers": [container]},
            },
        },
    }


def add_predictor(sandbox: Sandbox, name: str, replicas: int = 1) -> None:
    sandbox.client.create(DEPLOYMENTS, deployment(name, replicas=replicas))
    ports = [{"name": "http", "port": 8000, "targetPort": 8000}]
    sandbox.client.create(
        SERVICES,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "prod"},
            "spec": {"selector": {"app": name}, "ports": ports},
        },
    )
    sandbox.client.create(
        DESTINATION_RULES,
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": name, "namespace": "prod"},
            "spec": {"host": name, "subsets": [{"name": name, "labels": {"version": name}}]},
        },
    )
    await_ready(sandbox, name, replicas)


def await_ready(sandbox: Sandbox, name: str, replicas: int) -> None:
    def ready() -> bool:
        status = sandbox.client.get(DEPLOYMENTS, name, "prod").get("status", {})
        return bool(status.get("readyReplicas", 0) == replicas)

    until(ready)


def http_rules(prefix: str, **weights: int) -> list[dict[str, Any]]:
    route = []
    for name, weight in weights.items():
        target = {"host": f"{name}.prod.svc.cluster.local", "subset": name}
        entry = {"destination": target | {"port": {"number": 8000}}}
        route.append(entry | ({"weight": weight} if weight else {}))
    match = [{"uri": {"prefix": f"/{prefix}/"}}]
    return [{"match": match, "rewrite": {"uri": "/"}, "route": route}]


def set_weights(sandbox: Sandbox, name: str, **weights: int) -> None:
    spec = {"spec": {"http": http_rules(name, **weights)}}
    sandbox.client.merge_patch(VIRTUAL_SERVICES, name, "prod", spec)


def route(sandbox: Sandbox, name: str, **weights: int) -> None:
    sandbox.client.create(
        VIRTUAL_SERVICES,
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": "prod"},
            "spec": {"hosts": ["*"], "http": http_rules(name, **weights)},
        },
    )


def answered_by(sandbox: Sandbox, name: str) -> str:
    answer = requests.get(f"{sandbox.envoy.url}/{name}/", timeout=60)
    return answer.headers.get(PREDICTOR_HEADER, "") if answer.ok else ""


class Load:
    """Steady requests from three clients; counts answers by (status, predictor)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: collections.Counter[tuple[int, str]] = collections.Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._clients = [threading.Thread(target=self._run) for _ in range(3)]

    def _run(self) -> None:
        session = requests.Session()
        while not self._stop.wait(0.005):
            try:
                answer = session.get(self.url, timeout=60)  # lost is lost, however long one waits
            except requests.RequestException as error:
                self.failures.append(repr(error))
                continue
            self.answers[answer.status_code, answer.headers.get(PREDICTOR_HEADER, "")] += 1
            if answer.status_code != 200:
                self.failures.append(f"{answer.status_code} {answer.text}")

    def __enter__(self) -> Load:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()


def test_no_request_is_lost_over_shifts_and_over_coming_and_going_predictors(
    sandbox: Sandbox,
) -> None:
    add_predictor(sandbox, "main", replicas=2)
    add_predictor(sandbox, "canary")
    route(sandbox, "iris", main=100)
    until(lambda: answered_by(sandbox, "iris") == "main")
    with Load(f"{sandbox.envoy.url}/iris/") as load:
        for turn in range(20):
            weight, winner = (100, "canary") if turn % 2 == 0 else (0, "main")
            set_weights(sandbox, "iris", main=100 - weight, canary=weight)
            until(lambda winner=winner: answered_by(sandbox, "iris") == winner)  # type: ignore[misc]
        for _ in range(2):
            set_weights(sandbox, "iris", main=50, canary=50)
            before = load.answers[200, "canary"]
            until(lambda before=before: load.answers[200, "canary"] > before)  # type: ignore[misc]
            set_weights(sandbox, "iris", main=100)
            sandbox.client.delete(DEPLOYMENTS, "canary", "prod")
            until(lambda: not pods_of(sandbox, "canary"))
            sandbox.client.create(DEPLOYMENTS, deployment("canary"))
            await_ready(sandbox, "canary", 1)
    assert load.failures == []
    assert load.answers[200, "main"] > 100


def test_no_request_is_lost_when_pods_that_serve_are_taken_away(sandbox: Sandbox) -> None:
    add_predictor(sandbox, "shrinking", replicas=3)
    route(sandbox, "shrinking", shrinking=100)
    until(lambda: answered_by(sandbox, "shrinking") == "shrinking")
    with Load(f"{sandbox.envoy.url}/shrinking/slow") as load:
        for replicas in (1, 3, 1):
            scale = {"spec": {"replicas": replicas}}
            sandbox.client.merge_patch(DEPLOYMENTS, "shrinking", "prod", scale)
            until(lambda n=replicas: len(pods_of(sandbox, "shrinking")) == n)  # type: ignore[misc]
            await_ready(sandbox, "shrinking", replicas)
    assert load.failures == []


def test_no_request_is_lost_when_a_route_names_new_predictors(sandbox: Sandbox) -> None:
    add_predictor(sandbox, "first")
    route(sandbox, "growing", first=100)
    until(lambda: answered_by(sandbox, "growing") == "first")
    names = [f"next{number}" for number in range(5)]
    for name in names:
        add_predictor(sandbox, name)
    with Load(f"{sandbox.envoy.url}/growing/") as load:
        for name in names:
            set_weights(sandbox, "growing", **{name: 100})
            until(lambda name=name: load.answers[200, name] > 5)  # type: ignore[misc]
    assert load.failures == []


def pods_of(sandbox: Sandbox, app: str) -> list[dict[str, Any]]:
    return sandbox.client.list(PODS, "prod", label_selector=f"app={app}").items


def test_a_destination_without_ready_pods_answers_503_in_its_own_name(sandbox: Sandbox) -> None:
    add_predictor(sandbox, "lonely")
    route(sandbox, "lonely", lonely=100)
    until(lambda: answered_by(sandbox, "lonely") == "lonely")
    [pod] = pods_of(sandbox, "lonely")
    sandbox.node.hold_unready("prod", pod["metadata"]["name"])

    def refused() -> bool:
        answer = requests.get(f"{sandbox.envoy.url}/lonely/", timeout=60)
        return answer.status_code == 503 and answer.headers.get(PREDICTOR_HEADER) == "lonely"

    until(refused)
    sandbox.node.hold_unready("prod", pod["metadata"]["name"], held=False)
    until(lambda: answered_by(sandbox, "lonely") == "lonely")


def waiting_reason(sandbox: Sandbox, app: str) -> str:
    for pod in pods_of(sandbox, app):
        for container in pod.get("status", {}).get("containerStatuses", ()):
            return str(container["state"].get("waiting", {}).get("reason", ""))
    return ""


def test_a_crashing_container_backs_off_and_an_unknown_image_is_not_pulled(
    sandbox: Sandbox,
) -> None:
    sandbox.client.create(DEPLOYMENTS, deployment("crashing", "test/crashing"))
    sandbox.client.create(DEPLOYMENTS, deployment("unknown", "nowhere/unknown:1"))
    until(lambda: waiting_reason(sandbox, "crashing") == "CrashLoopBackOff")
    until(lambda: waiting_reason(sandbox, "unknown") in ("ErrImagePull", "ImagePullBackOff"))
    [pod] = pods_of(sandbox, "crashing")
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 3


def test_a_killed_container_is_started_again(sandbox: Sandbox) -> None:
    sandbox.client.create(DEPLOYMENTS, deployment("mortal"))
    await_ready(sandbox, "mortal", 1)
    [pod] = pods_of(sandbox, "mortal")
    sandbox.node.crash("prod", pod["metadata"]["name"], "model")

    def restarted() -> bool:
        [now] = pods_of(sandbox, "mortal")
        status = now["status"]["containerStatuses"][0]
        return bool(status["restartCount"] == 1 and status["ready"])

    until(restarted)


def query(sandbox: Sandbox, promql: str) -> list[dict[str, Any]]:
    url = f"{sandbox.prometheus.url}/api/v1/query?query={urllib.parse.quote(promql)}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        result: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
    return result


def test_prometheus_finds_annotated_pods_and_the_gateway_and_keeps_its_data_when_stopped(
    sandbox: Sandbox,
) -> None:
    add_predictor(sandbox, "measured")
    route(sandbox, "measured", measured=100)
    until(lambda: answered_by(sandbox, "measured") == "measured")
    until(lambda: bool(query(sandbox, 'backend_up_total{app="measured",namespace="prod"}')))
    name = "outbound|8000|measured|measured.prod.svc.cluster.local"
    gateway = f'envoy_cluster_upstream_rq{{envoy_cluster_name="{name}",envoy_response_code="200"}}'
    until(lambda: bool(query(sandbox, gateway)))
    url = sandbox.prometheus.url
    sandbox.prometheus.stop()
    with pytest.raises(urllib.error.URLError):
        query(sandbox, "up")
    sandbox.prometheus.start()
    assert sandbox.prometheus.url == url
    assert query(sandbox, f"count_over_time({gateway}[10m])")


def test_pods_and_routes_go_on_after_the_api_server_was_killed(sandbox: Sandbox) -> None:
    add_predictor(sandbox, "before")
    route(sandbox, "outage", before=100)
    until(lambda: answered_by(sandbox, "outage") == "before")
    sandbox.control_plane.restart_api_server(crash=True)
    assert answered_by(sandbox, "outage") == "before"
    add_predictor(sandbox, "after")
    set_weights(sandbox, "outage", after=100)
    until(lambda: answered_by(sandbox, "outage") == "after")


def test_users_have_the_rights_of_their_roles_only(sandbox: Sandbox) -> None:
    kubectl = [
        str(parts.ensure("kubectl")),
        f"--kubeconfig={sandbox.kubeconfig('nobody')}",
        "get",
        "secrets",
        "-A",
    ]
    refused = subprocess.run(kubectl, capture_output=True, text=True)
    assert "Forbidden" in refused.stderr
    assert sandbox.kubeconfig("nobody").stat().st_mode & 0o077 == 0


def pid_of(layout: Layout, name: str) -> int:
    """Of a process that lives, else 0."""
    found = [p for p in owner.describe(layout)["processes"] if p["name"] == name and p["alive"]]
    return int(found[0]["pid"]) if found else 0


def test_a_controller_that_ends_is_started_again_as_in_a_cluster(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "revived")
    access = owner.start_background(layout, Options(operator=False, prometheus=False), Silent())
    try:
        killed = pid_of(layout, "sluice-controller")
        os.kill(killed, signal.SIGKILL)
        until(lambda: pid_of(layout, "sluice-controller") not in (0, killed))

        def answers() -> bool:
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{access['controller']}/healthz", timeout=60).ok
            return False

        until(answers)
        assert owner.describe(layout)["up"]
    finally:
        owner.bring_down(layout)


BARE = Options(operator=False, controller=False)


def test_two_sandboxes_side_by_side_and_the_end_of_each(tmp_path: Path) -> None:
    killed, stopped = Layout(tmp_path / "killed"), Layout(tmp_path / "stopped")
    first = owner.start_background(killed, BARE, Silent())
    second = owner.start_background(stopped, BARE, Silent())
    assert first["podNetwork"] != second["podNetwork"]
    states = [processes.read_state(layout.root) for layout in (killed, stopped)]
    identities = [state["identity"] for state in states if state]
    assert [len(tagged(identity)) for identity in identities] == [5, 5]

    subprocess.run(["kill", "-KILL", str(owner.owner_of(killed))], check=True)
    until(lambda: not tagged(identities[0]))
    assert owner.describe(killed)["crashed"]
    assert len(tagged(identities[1])) == 5
    assert owner.describe(stopped)["up"]

    assert owner.bring_down(stopped) == 5
    assert not tagged(identities[1])
    assert owner.bring_down(killed) == 0  # its guardian was faster
    assert not owner.describe(killed)["up"]
