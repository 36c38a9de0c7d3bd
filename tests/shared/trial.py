"""One rollout under live load on a sandbox or a cluster: driven, watched, and counted."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from sluice.api.status import Phase, Revision, RolloutStatus
from sluice.clock import SystemClock
from sluice.errors import ApiError, ConflictError, NotFoundError
from sluice.kube.reflector import Reflector
from sluice.kube.resources import DEPLOYMENTS, MODEL_ROLLOUTS, PODS, VIRTUAL_SERVICES
from sluice.sandbox.demo.requests import Shot, Shots
from sluice.sandbox.demo.scenarios import rollout
from sluice.sandbox.up import Options, Sandbox
from sluice.seldon.kinds import SELDON_DEPLOYMENTS
from sluice.seldon.routes import parse_routes

NAMESPACE = "prod"
RATE = 40.0
# Short holds, and checks so coarse that a few seconds at 40 requests a second decide them, while
# what other processes do to latencies on a small machine does not.
CANARY: dict[str, Any] = {
    "steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "1s"}],
    "bake": "1s",
    "warmup": "1s",
    "risk": {"falseRollback": 0.01, "falsePromotion": 0.1},
    "onUndecided": {"after": "10m", "action": "Pause"},
    "checks": [
        {
            "name": "errors",
            "metric": "error-rate",
            "compare": {"acceptableRatio": 1, "unacceptableRatio": 5, "negligibleBelow": 0.05},
        },
        {
            "name": "latency",
            "metric": "latency",
            "compare": {"acceptableRatio": 4, "unacceptableRatio": 15, "negligibleBelow": 0.2},
        },
    ],
}
_LOOK_SECONDS = 0.05
# How long to wait before giving up, on however slow a machine; nothing is judged by it.
DEADLINE = 180.0
_numbers = itertools.count(1)


def poll(true: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Until it is so; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f}s: {what}"
        pause.wait(_LOOK_SECONDS)


class Weights:
    """Every split that the VirtualService had, oldest first, without repetitions.

    From a watch: looking now and then could miss a step that is short, or a machine that is slow.
    """

    def __init__(self, cluster: Sandbox, name: str, namespace: str = NAMESPACE) -> None:
        self.seen: list[dict[str, int]] = []
        self._stop = threading.Event()
        reflector = Reflector(
            cluster.client,
            VIRTUAL_SERVICES,
            self._note,
            clock=SystemClock(),
            rng=random.Random(1),
            namespace=namespace,
            field_selector=f"metadata.name={name}",
        )
        self._thread = reflector.start(self._stop)
        assert reflector.synced.wait(DEADLINE), "the VirtualService was not listed"

    def _note(self, event: str, new: dict[str, Any] | None, old: dict[str, Any] | None) -> None:
        split = split_of(new) if new else {}
        if split and (not self.seen or self.seen[-1] != split):
            self.seen.append(split)

    def of(self, predictor: str) -> list[int]:
        """The shares of one predictor, one after the other."""
        shares = [split.get(predictor, 0) for split in self.seen]
        return [share for share, _ in itertools.groupby(shares)]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def weights_of(cluster: Sandbox, name: str, namespace: str = NAMESPACE) -> dict[str, int]:
    """The gateway's split by predictor; {} when there is none."""
    try:
        return split_of(cluster.client.get(VIRTUAL_SERVICES, name, namespace))
    except NotFoundError:
        return {}


def split_of(virtual_service: dict[str, Any]) -> dict[str, int]:
    """Shares by predictor, without those of 0; {} when they cannot be read."""
    routes, agree = parse_routes(virtual_service)
    return {n: w for n, w in routes.items() if w} if routes and agree else {}


class Trial:
    """A ModelRollout with a name of its own."""

    def __init__(self, cluster: Sandbox, name: str, namespace: str = NAMESPACE) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.client = cluster.client
        self.name = f"{name}{next(_numbers)}"
        self.shots = Shots(cluster.layout.root / f"{self.name}.jsonl")
        self.weights: Weights | None = None
        self._load = f"load-{self.name}"

    # -- the ModelRollout --------------------------------------------------------------------------

    def manifest(self, variant: str, *, replicas: int = 1, **spec: Any) -> dict[str, Any]:
        """The ModelRollout with one of the model images; `spec` goes on top."""
        obj = rollout(variant, replicas=replicas)
        obj["metadata"] |= {"name": self.name, "namespace": self.namespace}
        del obj["spec"]["policyRef"]
        obj["spec"]["strategy"] = {"canary": CANARY | spec.pop("canary", {})}
        obj["spec"].update(spec)
        return obj

    def create(
        self, variant: str = "stable", *, rate: float = RATE, wait: bool = True, **spec: Any
    ) -> None:
        """With load, once the stable serves. At rate 0 nobody asks it anything."""
        self.client.create(MODEL_ROLLOUTS, self.manifest(variant, **spec), self.namespace)
        if wait:
            self.until(serves, "the stable serves")
        if rate:
            self.start_load(rate)

    def change(self, variant: str, **spec: Any) -> RolloutStatus:
        """As `kubectl apply`; returns the first status that knows of it."""
        wanted = self.manifest(variant, **spec)["spec"]
        while True:
            obj = self.object()
            obj["spec"] = wanted
            with contextlib.suppress(ConflictError):
                generation = self.client.replace(MODEL_ROLLOUTS, obj)["metadata"]["generation"]
                break
        return self.until(
            lambda s: (s.observed_generation or 0) >= generation, "the controller sees the change"
        )

    def object(self) -> dict[str, Any]:
        return self.client.get(MODEL_ROLLOUTS, self.name, self.namespace)

    def status(self) -> RolloutStatus:
        return RolloutStatus.model_validate(self.object().get("status") or {})

    def until(
        self, true: Callable[[RolloutStatus], bool], what: str, seconds: float = DEADLINE
    ) -> RolloutStatus:
        """The first status that is so."""
        last = RolloutStatus()

        def look() -> bool:
            nonlocal last
            with contextlib.suppress(ApiError):
                last = self.status()
            return true(last)

        try:
            poll(look, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the status is {summary(last)}") from None
        return last

    def until_phase(self, *phases: Phase, seconds: float = DEADLINE) -> RolloutStatus:
        return self.until(lambda s: s.phase in phases, f"phase {phases}", seconds)

    def until_candidate(self) -> Revision:
        """The new version, as soon as it is taken up: a verdict can come any time after that."""
        candidate = self.until(lambda s: s.candidate is not None, "a candidate").candidate
        assert candidate is not None
        return candidate

    def until_judged(self, samples: int = 1) -> RolloutStatus:
        """Stepping, and so many requests of the candidate are counted."""
        return self.until(
            lambda s: (
                s.phase is Phase.STEPPING
                and bool(s.checks)
                and min(c.candidate_samples for c in s.checks) >= samples
            ),
            f"{samples} samples of the candidate",
        )

    def until_ended(self, outcome: str, seconds: float = DEADLINE) -> RolloutStatus:
        """The newest history entry has that outcome, and nothing is in progress any more."""
        status = self.until(
            lambda s: bool(s.history) and not s.phase.active, f"the end ({outcome})", seconds
        )
        assert status.history[0].outcome == outcome, summary(status)
        return status

    # -- what hangs on it --------------------------------------------------------------------------

    def pods(self, predictor: str) -> list[dict[str, Any]]:
        selector = f"seldon-app={self.name}-{predictor}"
        return self.client.list(PODS, self.namespace, label_selector=selector).items

    def pod_uids(self, predictor: str) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.pods(predictor)}

    def deployments(self) -> list[dict[str, Any]]:
        selector = f"seldon-deployment-id={self.name}"
        return self.client.list(DEPLOYMENTS, self.namespace, label_selector=selector).items

    def predictors(self) -> dict[str, int]:
        """The SeldonDeployment's predictors and their traffic; a single one has 100."""
        found = self.client.get(SELDON_DEPLOYMENTS, self.name, self.namespace)["spec"]["predictors"]
        return {p["name"]: p.get("traffic", 100 if len(found) == 1 else 0) for p in found}

    def routes(self) -> dict[str, int]:
        return weights_of(self.cluster, self.name, self.namespace)

    # -- load --------------------------------------------------------------------------------------

    def start_load(self, rate: float = RATE) -> None:
        """Steady requests through Envoy, and a look at every split from now on."""
        url = f"{self.cluster.envoy.url}/seldon/{self.namespace}/{self.name}/api/v1.0/predictions"
        argv = [sys.executable, "-m", "sluice.sandbox.load", f"--url={url}", f"--rate={rate}"]
        self.cluster.supervisor.start(self._load, [*argv, f"--out={self.shots.path}"])
        poll(lambda: bool(self.answered()), "the load is answered")
        self.weights = Weights(self.cluster, self.name, self.namespace)

    def answered(self, predictor: str | None = None) -> list[Shot]:
        """All requests so far, of one predictor or of all."""
        self.shots.read()
        return [s for s in self.shots.all if predictor in (None, s.predictor)]

    def stop_load(self) -> list[Shot]:
        self.cluster.supervisor.stop(self._load, grace=6.0)
        return self.answered()

    def failures(self, *, besides: str = "") -> list[Shot]:
        """Ends the load: the failed requests that were not answered by `besides`."""
        poll(lambda: len(self.answered()) > RATE, "there was some load")
        shots = self.stop_load()
        return [s for s in shots if s.failed and s.predictor != besides]

    def end(self) -> None:
        """Without load and watch; the objects go (the garbage collector takes what is owned)."""
        if self.weights:
            self.weights.stop()
        self.cluster.supervisor.stop(self._load, grace=6.0)
        with contextlib.suppress(NotFoundError):
            self.client.delete(MODEL_ROLLOUTS, self.name, self.namespace)
        with contextlib.suppress(NotFoundError):
            self.client.delete(SELDON_DEPLOYMENTS, self.name, self.namespace)


@contextlib.contextmanager
def controller_with(cluster: Sandbox, *args: str) -> Iterator[None]:
    """Meanwhile the controller has more options, also when it is started again."""

    def restart(options: Options) -> None:
        cluster.stop_controller()
        cluster.options = options
        cluster.start_controller()

    usual = cluster.options
    restart(dataclasses.replace(usual, controller_args=(*usual.controller_args, *args)))
    try:
        yield
    finally:
        restart(usual)


def serves(status: RolloutStatus) -> bool:
    ready = status.condition("Ready")
    return ready is not None and ready.status == "True"


def summary(status: RolloutStatus) -> str:
    keep = ("phase", "message", "step", "traffic", "checks", "freeze", "pause", "history")
    wire = status.to_wire()
    return json.dumps({key: wire.get(key) for key in keep})


def sluice(cluster: Sandbox, *args: str) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it."""
    argv = [sys.executable, "-m", "sluice.cli.main", *args]
    if args[0] not in ("version",):
        argv += [f"--kubeconfig={cluster.layout.kubeconfig}", f"--namespace={NAMESPACE}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
