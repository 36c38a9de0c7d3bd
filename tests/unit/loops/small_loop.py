"""Both loops over an in-memory API server and Prometheus, and a pass-by-pass Seldon.

What Seldon makes of a SeldonDeployment comes from the sandbox's operator stand-in (its pure part),
so the objects are the ones the contract was checked with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sluice.api.status import RolloutStatus
from sluice.errors import AlreadyExistsError, ConflictError, NotFoundError
from sluice.loops.aftercare import Aftercare
from sluice.loops.audit import AuditLog
from sluice.loops.gatekeeping import Gatekeeper
from sluice.loops.judging import Judging
from sluice.loops.keeping import Keeper
from sluice.loops.own_metrics import OwnMetrics
from sluice.loops.policies import Policies
from sluice.loops.preflights import Preflights
from sluice.loops.pulse import Pulse
from sluice.loops.reconcile import Reconciler
from sluice.loops.stores import Index, OwnWrites
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import SeldonDialect
from sluice.metrics.observe import Observer
from sluice.resources import (
    DEPLOYMENTS,
    MODEL_ROLLOUTS,
    SELDON_DEPLOYMENTS,
    VIRTUAL_SERVICES,
    Resource,
)
from sluice.sandbox.operator.desired import desired
from sluice.sandbox.operator.settings import Settings
from sluice.seldon.read import WorldReader, from_client
from sluice.seldon.routes import parse_mirrors
from sluice.seldon.write import SeldonWriter
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube
from sluice.testing.prometheus import FakePrometheus

KEY = "prod/iris"
CANARY: dict[str, Any] = {
    "steps": [{"weight": 20, "hold": "20s"}, {"weight": 50, "hold": "20s"}],
    "bake": "30s",
    "warmup": "0s",
    "checks": [
        {
            "name": "errors",
            "metric": "error-rate",
            "compare": {"unacceptableRatio": 3, "negligibleBelow": 0.02},
        }
    ],
}


class Direct:
    """A store that asks the fake server."""

    def __init__(self, client: Any, resource: Resource) -> None:
        self._client, self._resource = client, resource

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._client.get(self._resource, name, namespace or None)
        except NotFoundError:
            return None
        return found

    def values(self) -> list[dict[str, Any]]:
        return list(self._client.list(self._resource).items)


class Nothing:
    """An empty store."""

    def get(self, namespace: str, name: str) -> None:
        del namespace, name

    def values(self) -> list[dict[str, Any]]:
        return []


@dataclass
class Told:
    """Events, as they were recorded."""

    reasons: list[str]

    def event(self, obj: Any, *, reason: str, message: str, warning: bool = False) -> None:
        del obj, message, warning
        self.reasons.append(reason)


class SmallLoop:
    """One rollout; `tick` is ten seconds of life with traffic."""

    def __init__(
        self,
        *,
        watched: tuple[str, ...] = (),
        audit: AuditLog | None = None,
        preflights: Callable[[], Preflights | None] = lambda: None,
    ) -> None:
        self.watched = watched
        self.preflights = preflights
        self.audit = audit
        self.kube = FakeKube()
        self.client = self.kube.client()
        self.prometheus = FakePrometheus()
        self.clock = ManualClock()
        self.told = Told([])
        self.failing: set[str] = set()
        self.answered: Counter[str] = Counter()
        self.requests = 600
        self.queued: list[str] = []
        self.index = Index()
        self.start_controller()

    def start_controller(self) -> None:
        """A new process: nothing is remembered but what is in the status."""
        self.metrics = OwnMetrics()
        prometheus = PrometheusClient(self.prometheus.url, adapter=self.prometheus.adapter())
        self.judging = Judging(Observer(prometheus, SeldonDialect(), interval=10))
        self.rollouts = OwnWrites(Direct(self.client, MODEL_ROLLOUTS))
        policies = Policies(Nothing(), Nothing())
        self.reconciler = Reconciler(
            client=self.client,
            clock=self.clock,
            rollouts=self.rollouts,
            policies=policies,
            reader=WorldReader(from_client(self.client)),
            writer=SeldonWriter(self.client, clock=self.clock),
            judging=self.judging,
            recorder=self.told,
            metrics=self.metrics,
            status_interval=60,
            claims=self.index.of_deployment,
            gatekeeper=Gatekeeper(self.rollouts, None, self.watched),
            keeper=Keeper(self.client, from_client(self.client).pods, self.audit),
            preflights=self.preflights(),
            aftercare=self.aftercare(),
        )
        self.pulse = Pulse(
            clock=self.clock,
            rollouts=self.rollouts,
            policies=policies,
            judging=self.judging,
            queue=self.queued.append,
            metrics=self.metrics,
            interval=10,
            status_interval=60,
        )

    def aftercare(self) -> Aftercare | None:
        """What looks after the promoted; here nobody."""
        return None

    def apply(self, image: str, name: str = "iris", **spec: Any) -> None:
        """As kubectl would."""
        container = {"name": "classifier", "image": image}
        predictor = {
            "graph": {"name": "classifier", "type": "MODEL"},
            "replicas": 1,
            "componentSpecs": [{"spec": {"containers": [container]}}],
        }
        body = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "ModelRollout",
            "metadata": {"name": name, "namespace": "prod"},
            "spec": {
                "template": {"spec": {"predictors": [predictor]}},
                "strategy": {"canary": CANARY},
                **spec,
            },
        }
        try:
            created = self.client.create(MODEL_ROLLOUTS, body, "prod")
            self.index.put(created)
        except AlreadyExistsError:
            patch = [{"op": "replace", "path": "/spec", "value": body["spec"]}]
            self.client.json_patch(MODEL_ROLLOUTS, name, "prod", patch)

    def seldon(self) -> None:
        """Seldon and Kubernetes catch up: everything becomes whole."""
        for sdep in self.client.list(SELDON_DEPLOYMENTS).items:
            objects = desired(sdep, Settings())
            for deployment in objects.deployments:
                replicas = deployment["spec"].get("replicas", 1)
                deployment["status"] = {
                    "observedGeneration": 1,
                    "replicas": replicas,
                    "updatedReplicas": replicas,
                    "readyReplicas": replicas,
                    "availableReplicas": replicas,
                }
                deployment["metadata"]["generation"] = 1
                self._put(DEPLOYMENTS, deployment)
            for gone in self.client.list(DEPLOYMENTS).items:
                if gone["metadata"]["name"] not in objects.deployment_names:
                    self.client.delete(DEPLOYMENTS, gone["metadata"]["name"], "prod")
            self._put(VIRTUAL_SERVICES, objects.virtual_service)

    def _put(self, resource: Resource, obj: dict[str, Any]) -> None:
        meta = obj["metadata"]
        meta.setdefault("namespace", "prod")
        try:
            old = self.client.get(resource, meta["name"], "prod")
            meta["resourceVersion"] = old["metadata"]["resourceVersion"]
            self.client.replace(resource, obj)
            if "status" in obj:
                new = self.client.get(resource, meta["name"], "prod")
                new["status"] = obj["status"]
                new["status"]["observedGeneration"] = new["metadata"].get("generation", 1)
                self.client.replace(resource, new, subresource="status")
        except NotFoundError:
            self.client.create(resource, obj, "prod")
            self._put(resource, obj)

    def traffic(self) -> None:
        """Requests of ten seconds, split as the VirtualService says, then a scrape."""
        for name, weight in (self.weights() | self.mirrors()).items():
            self.ask(name, self.requests * weight // 100)
        self.prometheus.scrape(self.clock.now())

    def ask(self, name: str, n: int) -> None:
        """So many requests to one predictor; one in five fails where it is `failing`."""
        if not n:
            return  # the executor has no series before its first request
        bad = n // 5 if name in self.failing else 0
        self.answered[name] += n
        self.prometheus.answered("prod", "iris", name, n - bad)
        if bad:
            self.prometheus.answered("prod", "iris", name, bad, code="500")

    def mirrors(self) -> dict[str, int]:
        """Who gets copies at the gateway, and of how many percent."""
        found = self.client.list(VIRTUAL_SERVICES).items
        return parse_mirrors(found[0]) if found else {}

    def weights(self) -> dict[str, int]:
        """Shares at the gateway."""
        found = self.client.list(VIRTUAL_SERVICES).items
        routes = found[0]["spec"]["http"][0]["route"] if found else []
        return {r["destination"]["subset"]: r.get("weight", 0) for r in routes}

    def tick(self, times: int = 1) -> None:
        """Ten seconds: traffic, a pulse, passes until nothing is due at once."""
        for _ in range(times):
            self.clock.advance(10)
            self.traffic()
            self.pulse.beat()
            self.settle()

    def settle(self) -> None:
        """Passes with Seldon in between, as the watches would wake them."""
        for _ in range(4):
            try:
                self.reconciler.reconcile(KEY)
            except ConflictError:
                continue
            self.seldon()

    @property
    def status(self) -> RolloutStatus:
        """The status as it is on the server."""
        obj = self.client.get(MODEL_ROLLOUTS, "iris", "prod")
        return RolloutStatus.model_validate(obj.get("status") or {})

    def candidate(self) -> str:
        """The candidate's predictor."""
        found = self.status.candidate
        assert found is not None
        return found.predictor

    def rolling_out(self, **spec: Any) -> SmallLoop:
        """With a second version at its first step, and metrics of both."""
        self.apply("repo/iris:1", **spec)
        self.settle()
        self.tick(2)
        self.apply("repo/iris:2", **spec)
        self.settle()
        self.tick()
        return self
