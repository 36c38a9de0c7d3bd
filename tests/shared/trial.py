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
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from sluice.api.status import Phase, Revision, RolloutStatus
from sluice.clock import SystemClock
from sluice.errors import ApiError, ConflictError, NotFoundError
from sluice.kube.client import Client
from sluice.kube.reflector import Reflector
from sluice.resources import (
    DEPLOYMENTS,
    MODEL_ROLLOUTS,
    PODS,
    SELDON_DEPLOYMENTS,
    VIRTUAL_SERVICES,
    Resource,
)
from sluice.sandbox.demo.requests import Shot, Shots
from sluice.sandbox.demo.scenarios import rollout
from sluice.sandbox.up import Options, Sandbox
from sluice.seldon.routes import parse_mirrors, parse_routes

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
DEADLINE = 480.0
# How long the load waits for an answer: late is no failure here, what is lost never comes.
_PATIENCE = 60.0
# Commands that wait for the controller's answer: theirs is no limit of the tests either.
_ANSWERED = ("promote", "pause", "resume", "abort", "retry")
_numbers = itertools.count(1)


def poll(true: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Until it is so; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:.0f}s: {what}"
        pause.wait(_LOOK_SECONDS)


class Followed:
    """Every state that objects of one kind had, oldest first, by their resource versions.

    From a watch: looking now and then could miss a state that is short, or a machine that is slow.
    Versions are those of the one etcd behind the API server, so states of several kinds can be put
    in order by them. A watch that was cut may have missed what was over before it came back.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str,
        *,
        name: str = "",
        label_selector: str = "",
    ) -> None:
        self._states: list[tuple[int, dict[str, Any]]] = []
        self._client, self._resource, self._namespace = client, resource, namespace
        self._selected = {
            "label_selector": label_selector,
            "field_selector": f"metadata.name={name}" if name else "",
        }
        self._stop = threading.Event()
        reflector = Reflector(
            client,
            resource,
            self._note,
            clock=SystemClock(),
            rng=random.Random(1),
            namespace=namespace,
            **self._selected,
        )
        self._thread = reflector.start(self._stop)
        assert reflector.synced.wait(DEADLINE), f"no {resource.plural} were listed"

    def _note(self, event: str, new: dict[str, Any] | None, old: dict[str, Any] | None) -> None:
        if new is not None:
            self._states.append((version_of(new), new))

    def so_far(self) -> list[tuple[int, dict[str, Any]]]:
        """What the watch has brought, which may be a little behind."""
        return list(self._states)

    def all(self) -> list[tuple[int, dict[str, Any]]]:
        """With all that was written until now."""
        found = self._client.list(self._resource, self._namespace, **self._selected).items
        newest = max(map(version_of, found), default=0)
        poll(lambda: self._newest() >= newest, f"the watch of {self._resource.plural} to be up")
        return self.so_far()

    def _newest(self) -> int:
        return max((version for version, _ in self._states), default=0)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def version_of(obj: dict[str, Any]) -> int:
    """The revision in etcd at which the object was written."""
    return int(obj["metadata"]["resourceVersion"])


class Weights:
    """Every split that the VirtualService had, oldest first, without repetitions."""

    def __init__(self, cluster: Sandbox, name: str, namespace: str = NAMESPACE) -> None:
        self._cluster, self._name, self._namespace = cluster, name, namespace
        self._followed = Followed(cluster.client, VIRTUAL_SERVICES, namespace, name=name)

    def routes(self) -> list[tuple[dict[str, int], dict[str, int]]]:
        """The splits and, beside each, the shares in percent that are copied to a shadow."""
        found = [(split_of(obj), parse_mirrors(obj)) for _, obj in self._followed.all()]
        return [route for route, _ in itertools.groupby(found) if route[0]]

    def seen(self) -> list[dict[str, int]]:
        """The splits until now."""
        return [split for split, _ in itertools.groupby(split for split, _ in self.routes())]

    def of(self, predictor: str) -> list[int]:
        """The shares of one predictor, one after the other."""
        shares = [split.get(predictor, 0) for split in self.seen()]
        return [share for share, _ in itertools.groupby(shares)]

    def follow_on(self) -> None:
        """Returns once the watch is open again, after whatever cut it: it misses nothing then."""
        note = {"metadata": {"annotations": {"sluice.test/followed": str(time.monotonic())}}}
        self._cluster.client.merge_patch(VIRTUAL_SERVICES, self._name, self._namespace, note)
        self._followed.all()

    def stop(self) -> None:
        self._followed.stop()


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
        self._statuses: Followed | None = None
        self._from = 0  # the version of the object when a status of it was waited for last

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
        self._follow()
        self.client.create(MODEL_ROLLOUTS, self.manifest(variant, **spec), self.namespace)
        if wait:
            self.until(serves, "the stable serves")
        if rate:
            self.start_load(rate)

    def change(self, variant: str, **spec: Any) -> RolloutStatus:
        """As `kubectl apply`; returns the first status that knows of it."""
        self._follow()
        wanted = self.manifest(variant, **spec)["spec"]
        while True:
            obj = self.object()
            obj["spec"] = wanted
            with contextlib.suppress(ConflictError):
                changed = self.client.replace(MODEL_ROLLOUTS, obj)
                break
        generation, self._from = changed["metadata"]["generation"], version_of(changed)
        return self.until_was(
            lambda s: (s.observed_generation or 0) >= generation, "the controller sees the change"
        )

    def object(self) -> dict[str, Any]:
        return self.client.get(MODEL_ROLLOUTS, self.name, self.namespace)

    def status(self) -> RolloutStatus:
        return parsed(self.object())

    def until(
        self, true: Callable[[RolloutStatus], bool], what: str, seconds: float = DEADLINE
    ) -> RolloutStatus:
        """The status once it is so: of what stays so. What may be over soon: `until_was`."""
        last, version = RolloutStatus(), 0

        def look() -> bool:
            nonlocal last, version
            with contextlib.suppress(ApiError):
                obj = self.object()
                last, version = parsed(obj), version_of(obj)
            return true(last)

        self._poll(look, what, seconds, lambda: last)
        self._from = max(self._from, version)
        return last

    def until_was(
        self, true: Callable[[RolloutStatus], bool], what: str, seconds: float = DEADLINE
    ) -> RolloutStatus:
        """The first status that is so, of all since the one that was waited for last.

        However short it is, and however late one looks; it may be over by now.
        """
        statuses = self._follow()
        last, looked = RolloutStatus(), 0

        def look() -> bool:
            nonlocal last, looked
            for version, obj in statuses.so_far()[looked:]:
                looked += 1
                last = parsed(obj)
                if version >= self._from and true(last):
                    self._from = version
                    return True
            return False

        self._poll(look, what, seconds, lambda: last)
        return last

    def _poll(
        self, true: Callable[[], bool], what: str, seconds: float, last: Callable[[], RolloutStatus]
    ) -> None:
        try:
            poll(true, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the status is {summary(last())}") from None

    def _follow(self) -> Followed:
        if self._statuses is None:
            self._statuses = Followed(self.client, MODEL_ROLLOUTS, self.namespace, name=self.name)
        return self._statuses

    def until_phase(self, *phases: Phase, seconds: float = DEADLINE) -> RolloutStatus:
        """The first status in one of them, which it may have left by now."""
        return self.until_was(lambda s: s.phase in phases, f"phase {phases}", seconds)

    def until_candidate(self) -> Revision:
        """The new version, as soon as it is taken up: a verdict can come any time after that."""
        candidate = self.until_was(lambda s: s.candidate is not None, "a candidate").candidate
        assert candidate is not None
        return candidate

    def until_judged(self, samples: int = 1) -> RolloutStatus:
        """Stepping, and so many requests of the candidate are counted; it may be over by now."""
        return self.until_was(
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
        argv += [f"--timeout={_PATIENCE:g}", f"--out={self.shots.path}"]
        self.cluster.supervisor.start(self._load, argv)
        poll(lambda: bool(self.answered()), "the load is answered")
        self.watch_routes()

    def watch_routes(self) -> None:
        """A look at every split from now on; with a load that comes later."""
        if self.weights is None:
            self.weights = Weights(self.cluster, self.name, self.namespace)

    def answered(self, predictor: str | None = None) -> list[Shot]:
        """All requests so far, of one predictor or of all."""
        self.shots.read()
        return [s for s in self.shots.all if predictor in (None, s.predictor)]

    def stop_load(self) -> list[Shot]:
        self.cluster.supervisor.stop(self._load, grace=_PATIENCE + 10.0)
        return self.answered()

    def failures(self, *, besides: str = "") -> list[Shot]:
        """Ends the load: the failed requests that were not answered by `besides`."""
        poll(lambda: len(self.answered()) > RATE, "there was some load")
        shots = self.stop_load()
        return [s for s in shots if s.failed and s.predictor != besides]

    def end(self) -> None:
        """Without load and watch; the objects go (the garbage collector takes what is owned)."""
        for followed in (self.weights, self._statuses):
            if followed is not None:
                followed.stop()
        self.cluster.supervisor.stop(self._load, grace=_PATIENCE + 10.0)
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


def parsed(obj: dict[str, Any]) -> RolloutStatus:
    """The status of a ModelRollout."""
    return RolloutStatus.model_validate(obj.get("status") or {})


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
    if args[0] in _ANSWERED:
        argv += [f"--timeout={DEADLINE:g}s"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=2 * DEADLINE, check=False)


def measured(cluster: Sandbox, query: str) -> float:
    """What Prometheus has for a query with one sample; -1 without any."""
    url = f"{cluster.prometheus.url}/api/v1/query?{urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
        found = json.load(answer)["data"]["result"]
    return float(found[0]["value"][1]) if found else -1.0
