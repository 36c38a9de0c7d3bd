"""The parts of one run: real API server and Prometheus, exporter, mirror, controller."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import probe
from bench.figures import PULSE_SECONDS
from sluice.errors import SandboxError
from sluice.kube.client import Client
from sluice.resources import MODEL_ROLLOUTS, SELDON_DEPLOYMENTS
from sluice.sandbox import objects
from sluice.sandbox.control_plane import ControlPlane
from sluice.sandbox.ports import free_port, listening
from sluice.sandbox.processes import Supervisor
from sluice.sandbox.prometheus import Prometheus
from sluice.sandbox.up import CRDS, PEOPLE, SYSTEM_NAMESPACE, shipped_manifests
from sluice.sandbox.watching import Key, Watched
from sluice.seldon.revision import predictor_name, revision_of

NAMESPACE = "bench"
POLICY = "bench"
SCRAPE_SECONDS = 5
CONTROLLER = "sluice-controller"
REPOSITORY = Path(__file__).resolve().parents[1]
IMAGE = "/spec/template/spec/predictors/0/componentSpecs/0/spec/containers/0/image"
Json = dict[str, Any]


def predictor(version: int, replicas: int = 1) -> Json:
    """The template's predictor; `version` is its image's tag."""
    container = {
        "name": "classifier",
        "image": f"iris:{version}",
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "env": [{"name": "MODEL", "value": "iris"}],
    }
    return {
        "graph": {"name": "classifier", "type": "MODEL"},
        "replicas": replicas,
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }


def rollout(index: int) -> Json:
    """ModelRollout number `index`, at version 1."""
    return {
        "apiVersion": MODEL_ROLLOUTS.api_version,
        "kind": MODEL_ROLLOUTS.kind,
        "metadata": {"name": f"r{index}", "namespace": NAMESPACE},
        "spec": {
            "template": {"spec": {"predictors": [predictor(1, 1 + index % 2)]}},
            "policyRef": {"kind": "ClusterCanaryPolicy", "name": POLICY},
        },
    }


def policy() -> Json:
    """`balanced` with one step that lasts for ever: N rollouts in mid-canary."""
    [body] = objects.read_manifests(REPOSITORY / "canary_policies" / "balanced.yaml")
    body["metadata"]["name"] = POLICY
    body["spec"] |= {"steps": [{"weight": 20, "hold": "24h"}], "warmup": "1s"}
    return body


def name_of(version: int) -> str:
    """The predictor's name that the controller will give."""
    return predictor_name(revision_of(predictor(version)))


class World:
    """Use `running`."""

    def __init__(self, directory: Path, supervisor: Supervisor, n: int) -> None:
        self.n = n
        self.supervisor = supervisor
        self._directory = directory
        self.control_plane = ControlPlane(supervisor, directory, controllers=False)
        self.prometheus = Prometheus(supervisor, directory / "prometheus")
        self.client: Client
        self._exporter = 0
        self._controller = 0
        self._watched: Watched
        self.off_candidate: dict[str, float] = {}
        """When each SeldonDeployment was first seen without traffic on its candidate."""
        self.with_candidate: dict[str, float] = {}
        """When each was first seen with two predictors."""
        self._with_traffic: set[str] = set()
        self._candidate = name_of(2)

    def start(self) -> None:
        """Everything but the controller and the rollouts."""
        self.control_plane.start()
        self.client = Client.connect(
            kubeconfig=str(self.control_plane.kubeconfig("admin")), connections=8
        )
        self._apply()
        self._start_exporter()
        self._start_prometheus()
        kubeconfig = self.control_plane.kubeconfig("seldon-operator")
        self._python("mirror", ["-m", "bench.mirror", f"--kubeconfig={kubeconfig}"])
        self._watched = Watched(self.client, SELDON_DEPLOYMENTS, self._seen)
        self._watched.start()

    def close(self) -> None:
        """Stop watching; the supervisor stops the processes."""
        if hasattr(self, "_watched"):
            self._watched.stop()

    def _apply(self) -> None:
        crds = [
            *objects.read_manifests(CRDS),
            *objects.read_manifests(shipped_manifests() / "crds"),
        ]
        for name in (SYSTEM_NAMESPACE, NAMESPACE):
            meta = {"name": name}
            objects.apply(self.client, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        for crd in crds:
            objects.apply(self.client, crd)
        objects.await_established(self.client, [crd["metadata"]["name"] for crd in crds])
        roles = objects.read_manifests(shipped_manifests() / "rbac")
        for obj in objects.bound_to_users(roles, PEOPLE):
            objects.apply(self.client, obj, namespace=SYSTEM_NAMESPACE)
        objects.apply_when_served(self.client, policy())

    def _python(self, name: str, arguments: list[str], **more: Any) -> None:
        path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        env = {"PYTHONPATH": path, **more.pop("env", {})}
        self.supervisor.start(name, [sys.executable, *arguments], env=env, **more)

    def _start_exporter(self) -> None:
        port = self._exporter = free_port()
        arguments = ["-m", "bench.exporter", f"--port={port}", f"--rollouts={self.n}"]
        arguments += [f"--namespace={NAMESPACE}"]
        arguments += [f"--stable={name_of(1)}", f"--candidate={name_of(2)}"]
        self._python("exporter", arguments, ready=lambda: listening("127.0.0.1", port))

    def _start_prometheus(self) -> None:
        job = {
            "job_name": "executors",
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{self._exporter}"]}],
        }
        every = f"{SCRAPE_SECONDS}s"
        times = {"scrape_interval": every, "scrape_timeout": every}
        self.prometheus.configure({"global": times, "scrape_configs": [job]})
        self.prometheus.start()

    def start_controller(self) -> None:
        """Start the controller under the shipped roles; returns when it is healthy."""
        port = self._controller = free_port()
        kubeconfig = self.control_plane.kubeconfig(CONTROLLER)
        arguments = ["-m", "sluice.cli.main", "controller", f"--kubeconfig={kubeconfig}"]
        arguments += [f"--http-address=127.0.0.1:{port}"]
        arguments += [f"--prometheus-url={self.prometheus.url}", f"--pulse={PULSE_SECONDS:g}"]
        self._python(
            CONTROLLER,
            arguments,
            env={"POD_NAMESPACE": SYSTEM_NAMESPACE, "POD_NAME": "bench"},
            ready=lambda: listening("127.0.0.1", port),
        )

    def stop_controller(self) -> None:
        """SIGTERM, and wait."""
        self.supervisor.stop(CONTROLLER, grace=10.0)

    def reading(self) -> probe.Reading:
        """What the controller says and used until now."""
        process = self.supervisor.get(CONTROLLER)
        if process is None or not process.alive:
            tail = process.log_tail(20) if process else ""
            raise SandboxError(f"the controller has ended by itself\n{tail}")
        return probe.read(process.pid, f"http://127.0.0.1:{self._controller}")

    def order(self, path: str) -> bytes:
        """Tell or ask the exporter."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._exporter}{path}", timeout=30
        ) as answer:
            body: bytes = answer.read()
            return body

    def switches(self) -> tuple[list[dict[str, float]], list[float]]:
        """When candidates began to fail, and when metrics were scraped (Unix seconds)."""
        found = json.loads(self.order("/switches"))
        return found["switches"], found["scrapes"]

    def create_rollouts(self, first: int, last: int) -> None:
        """ModelRollouts `first` to `last` - 1."""
        self._each(
            range(first, last), lambda i: self.client.create(MODEL_ROLLOUTS, rollout(i), NAMESPACE)
        )

    def new_version(self, first: int, last: int) -> None:
        """Give them version 2."""
        patch = [{"op": "replace", "path": IMAGE, "value": "iris:2"}]
        self._each(
            range(first, last),
            lambda i: self.client.json_patch(MODEL_ROLLOUTS, f"r{i}", NAMESPACE, patch),
        )

    @staticmethod
    def _each(numbers: range, act: Callable[[int], object]) -> None:
        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(act, numbers):
                pass

    def _seen(self, key: Key, obj: Json | None) -> None:
        now = time.time()
        predictors = (obj or {}).get("spec", {}).get("predictors") or []
        if len(predictors) == 2:
            self.with_candidate.setdefault(key[1], now)
        if any(p["name"] == self._candidate and p.get("traffic") for p in predictors):
            self._with_traffic.add(key[1])
        elif key[1] in self._with_traffic:
            self.off_candidate.setdefault(key[1], now)


@contextmanager
def running(n: int) -> Iterator[World]:
    """A world for `n` rollouts; nothing of it is left afterwards, whatever happens."""
    directory = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    supervisor = Supervisor(directory)
    world = World(directory, supervisor, n)
    try:
        world.start()
        yield world
    finally:
        world.close()
        left = supervisor.close()
        shutil.rmtree(directory, ignore_errors=True)
        if left:
            raise SandboxError(f"{left} processes of the bench could not be ended")
