"""The real controller process on a real API server, with nothing but the shipped rights."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from sluice.errors import AlreadyExistsError, NotFoundError
from sluice.resources import (
    CLUSTER_CANARY_POLICIES,
    CRON_JOBS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    LEASES,
    MODEL_ROLLOUTS,
    SELDON_DEPLOYMENTS,
    SERVICE_ACCOUNTS,
    VIRTUAL_SERVICES,
)
from sluice.sandbox import objects
from sluice.sandbox.operator.desired import desired
from sluice.sandbox.operator.settings import Settings
from sluice.sandbox.ports import free_port, listening
from sluice.sandbox.up import CRDS, SYSTEM_NAMESPACE, shipped_manifests

if TYPE_CHECKING:
    from tests.api.conftest import Cluster

LEASE = "sluice-controller"


class Controllers:
    """Starts controllers A, B, ... that watch one namespace, as the shipped service account."""

    def __init__(self, cluster: Cluster, namespace: str, kubeconfig: Path) -> None:
        self.cluster, self.client, self.namespace = cluster, cluster.client, namespace
        self._kubeconfig = kubeconfig
        self._ports: dict[str, int] = {}

    def start(self, name: str, *options: str, lease_seconds: float = 60.0) -> None:
        """With a lease so long that a busy machine takes it from nobody who lives."""
        port = self._ports[name] = free_port()
        argv = [sys.executable, "-m", "sluice.cli.main", "controller", "-n", self.namespace]
        argv += [f"--kubeconfig={self._kubeconfig}", f"--http-address=127.0.0.1:{port}"]
        argv += ["--prometheus-url=http://127.0.0.1:1", "--pulse=1"]
        argv += [f"--lease-seconds={lease_seconds}", *options]
        self.cluster.supervisor.start(
            self._process(name),
            argv,
            env={"POD_NAMESPACE": SYSTEM_NAMESPACE, "POD_NAME": name},
            ready=lambda: listening("127.0.0.1", port),
        )

    def terminate(self, name: str) -> int | None:
        """SIGTERM; the exit code, negative if it had to be killed."""
        return self.cluster.supervisor.stop(self._process(name), grace=20.0)

    def kill(self, name: str) -> None:
        self.cluster.supervisor.kill(self._process(name))

    def stop_all(self) -> None:
        for name in self._ports:
            self.cluster.supervisor.stop(self._process(name), grace=5.0)

    def _process(self, name: str) -> str:
        return f"{self.namespace}-{name}"

    def log(self, name: str) -> str:
        process = self.cluster.supervisor.get(self._process(name))
        return process.log_tail(20) if process else ""

    def holder(self) -> str:
        """The name of the controller that holds the lease, "" for none."""
        try:
            lease = self.client.get(LEASES, LEASE, SYSTEM_NAMESPACE)
        except NotFoundError:
            return ""
        return str(lease["spec"].get("holderIdentity") or "").partition("_")[0]

    def await_leader(self, name: str) -> None:
        until(lambda: self.holder() == name, f"{name} leading")

    def metric(self, name: str, sample_name: str, **labels: str) -> float:
        """The sum of all samples of that name and labels."""
        url = f"http://127.0.0.1:{self._ports[name]}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            text = answer.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == sample_name and labels.items() <= sample.labels.items()
        )

    def writes(self, name: str) -> dict[str, float]:
        """Requests of this controller that change something, by kind, without the lease."""
        url = f"http://127.0.0.1:{self._ports[name]}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            text = answer.read().decode()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                kind = sample.labels.get("resource", "")
                if (
                    sample.name == "sluice_api_requests_total"
                    and sample.labels["verb"] not in ("get", "list", "watch")
                    and "lease" not in kind
                    and "accessreview" not in kind
                ):
                    found[kind] = found.get(kind, 0.0) + sample.value
        return found

    def told(self, name: str, reason: str) -> bool:
        """Whether there is such an Event of the rollout: it is written a while after the status."""
        events = self.client.list(EVENTS, self.namespace).items
        return (name, reason) in {(e["involvedObject"]["name"], e["reason"]) for e in events}

    # -- the world around them

    def apply(self, name: str, *, image: str = "iris:1", **spec: Any) -> dict[str, Any]:
        """Create the ModelRollout."""
        return self.client.create(MODEL_ROLLOUTS, rollout(name, image, **spec), self.namespace)

    def push(self, name: str, image: str) -> None:
        """A new version."""
        path = "/spec/template/spec/predictors/0/componentSpecs/0/spec/containers/0/image"
        patch = [{"op": "replace", "path": path, "value": image}]
        self.client.json_patch(MODEL_ROLLOUTS, name, self.namespace, patch)

    def rollout(self, name: str) -> dict[str, Any]:
        return self.client.get(MODEL_ROLLOUTS, name, self.namespace)

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """The condition, {} as long as there is none."""
        conditions = (self.rollout(name).get("status") or {}).get("conditions") or []
        return next((c for c in conditions if c["type"] == kind), {})

    def seldon_deployment(self, name: str) -> dict[str, Any] | None:
        try:
            return self.client.get(SELDON_DEPLOYMENTS, name, self.namespace)
        except NotFoundError:
            return None

    def await_created(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = until(
            lambda: self.seldon_deployment(name), f"a SeldonDeployment {name}"
        )
        return found

    def make_ready(self, name: str) -> None:
        """What Seldon and Kubernetes would make of the SeldonDeployment as it is now."""
        wanted = desired(self.await_created(name), Settings())
        for deployment in wanted.deployments:
            meta, replicas = deployment["metadata"], deployment["spec"]["replicas"]
            with suppress(AlreadyExistsError):
                self.client.create(DEPLOYMENTS, deployment, self.namespace)
            numbers = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")
            status = {"observedGeneration": 99, **dict.fromkeys(numbers, replicas)}
            self.client.merge_patch(
                DEPLOYMENTS, meta["name"], self.namespace, {"status": status}, subresource="status"
            )
        with suppress(AlreadyExistsError):
            self.client.create(VIRTUAL_SERVICES, wanted.virtual_service, self.namespace)

    def await_serving(self, name: str) -> None:
        """Its first version is made, ready, and found to be so."""
        self.make_ready(name)
        until(lambda: self.condition(name, "Ready").get("status") == "True", f"{name} being Ready")


def rollout(name: str, image: str = "iris:1", **spec: Any) -> dict[str, Any]:
    container = {"name": "classifier", "image": image}
    predictor = {
        "replicas": 2,
        "graph": {"name": "classifier", "type": "MODEL"},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }
    return {
        "apiVersion": MODEL_ROLLOUTS.api_version,
        "kind": MODEL_ROLLOUTS.kind,
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"predictors": [predictor]}}, **spec},
    }


@pytest.fixture(scope="module")
def shipped(cluster: Cluster) -> Path:
    """Everything that users apply; the kubeconfig of the controller's own service account."""
    crds = objects.read_manifests(shipped_manifests() / "crds") + objects.read_manifests(CRDS)
    for obj in (
        *crds,
        *objects.read_manifests(shipped_manifests() / "namespace.yaml"),
        *objects.read_manifests(shipped_manifests() / "rbac"),
    ):
        objects.apply(cluster.client, obj)
    objects.await_established(cluster.client, [crd["metadata"]["name"] for crd in crds])
    cluster.await_shipped_rights()
    for kind in (MODEL_ROLLOUTS, CLUSTER_CANARY_POLICIES, SELDON_DEPLOYMENTS, VIRTUAL_SERVICES):
        until(partial(cluster.client.serves, kind), f"serving {kind.kind}")
    answer = cluster.client.request(
        "create",
        f"{SERVICE_ACCOUNTS.path(LEASE, SYSTEM_NAMESPACE)}/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    return cluster.kubeconfig_with(answer["status"]["token"])


@pytest.fixture
def controllers(cluster: Cluster, namespace: str, shipped: Path) -> Iterator[Controllers]:
    """None started yet; the lease is nobody's. Those started are stopped at the end."""
    with suppress(NotFoundError):
        cluster.client.delete(LEASES, LEASE, SYSTEM_NAMESPACE)
    found = Controllers(cluster, namespace, shipped)
    try:
        yield found
    finally:
        found.stop_all()


@pytest.fixture
def running(controllers: Controllers) -> Controllers:
    """One controller, "a", leading."""
    controllers.start("a")
    controllers.await_leader("a")
    return controllers


# -- the work, with the shipped rights ----------------------------------------------------------


def test_a_rollout_becomes_an_owned_seldon_deployment(running: Controllers) -> None:
    made = running.apply("iris")
    sdep = running.await_created("iris")
    [owner] = sdep["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("ModelRollout", made["metadata"]["uid"])
    [predictor] = sdep["spec"]["predictors"]
    assert (predictor["traffic"], predictor["replicas"]) == (100, 2)
    ports = predictor["componentSpecs"][0]["spec"]["containers"][0]["ports"]
    assert "metrics" in [port["name"] for port in ports]
    running.await_serving("iris")


def test_a_new_version_comes_in_beside_the_stable_without_traffic(running: Controllers) -> None:
    running.apply("iris")
    running.await_serving("iris")
    before = running.await_created("iris")["spec"]["predictors"][0]
    running.push("iris", "iris:2")
    until(
        lambda: len(running.await_created("iris")["spec"]["predictors"]) == 2, "a second predictor"
    )
    stable, candidate = running.await_created("iris")["spec"]["predictors"]
    assert stable == before
    assert not candidate.get("traffic")

    def preparing() -> bool:
        return bool(running.rollout("iris")["status"]["phase"] == "Preparing")

    until(preparing, "the phase Preparing")

    until(lambda: running.told("iris", "RolloutStarted"), "the Event RolloutStarted")


def test_a_missing_policy_stalls_until_it_is_applied(running: Controllers) -> None:
    name = f"policy-{running.namespace}"
    [policy] = objects.read_manifests(shipped_manifests().parent / "canary_policies" / "fast.yaml")
    running.apply("iris", policyRef={"kind": "ClusterCanaryPolicy", "name": name})
    stalled = until(
        lambda: (c := running.condition("iris", "Stalled")).get("status") == "True" and c, "a stall"
    )
    assert stalled["reason"] == "PolicyNotFound"
    assert name in stalled["message"]
    assert running.seldon_deployment("iris") is None
    running.client.create(
        CLUSTER_CANARY_POLICIES,
        {**policy, "metadata": {"name": name}},
    )
    running.await_created("iris")
    until(lambda: running.condition("iris", "Stalled").get("status") == "False", "the stall's end")


def test_what_no_schema_can_see_stalls_with_a_sentence(running: Controllers) -> None:
    """Two rollouts of one SeldonDeployment: each is right by itself."""
    running.apply("first", seldonDeploymentName="iris")
    running.await_created("iris")
    running.apply("second", seldonDeploymentName="iris")
    stalled = until(
        lambda: (c := running.condition("second", "Stalled")).get("status") == "True" and c,
        "a stall",
    )
    assert stalled["reason"] == "AlreadyClaimed"
    assert "first" in stalled["message"]
    running.client.delete(MODEL_ROLLOUTS, "first", running.namespace)
    until(
        lambda: running.condition("second", "Stalled").get("status") == "False", "the stall's end"
    )


def test_other_peoples_edits_at_the_same_time_are_not_lost(running: Controllers) -> None:
    running.apply("iris")
    running.await_serving("iris")
    running.push("iris", "iris:2")
    for number in range(40):
        note = {"metadata": {"annotations": {f"team/note-{number}": "ours"}}}
        running.client.merge_patch(SELDON_DEPLOYMENTS, "iris", running.namespace, note)
    until(
        lambda: len(running.await_created("iris")["spec"]["predictors"]) == 2, "a second predictor"
    )
    sdep = running.await_created("iris")
    notes = [name for name in sdep["metadata"]["annotations"] if name.startswith("team/")]
    assert len(notes) == 40
    assert [p.get("traffic") or 0 for p in sdep["spec"]["predictors"]] == [100, 0]
    assert running.metric("a", "sluice_reconcile_errors_total") == 0


def test_a_hand_made_shift_of_traffic_is_put_right(running: Controllers) -> None:
    running.apply("iris")
    running.await_serving("iris")
    running.push("iris", "iris:2")
    until(
        lambda: len(running.await_created("iris")["spec"]["predictors"]) == 2, "a second predictor"
    )
    by_hand = [
        {"op": "add", "path": "/spec/predictors/0/traffic", "value": 40},
        {"op": "add", "path": "/spec/predictors/1/traffic", "value": 60},
    ]
    running.client.json_patch(SELDON_DEPLOYMENTS, "iris", running.namespace, by_hand)

    def weights() -> list[int]:
        predictors = running.await_created("iris")["spec"]["predictors"]
        return [p.get("traffic") or 0 for p in predictors]

    until(lambda: weights() == [100, 0], "100/0 again")


def test_a_retraining_by_hand_becomes_a_job_that_knows_who_asked(controllers: Controllers) -> None:
    """Also while the metrics are away, as they are here."""
    controllers.start("a", "--monitoring-interval=1")
    controllers.await_leader("a")
    client, namespace = controllers.client, controllers.namespace
    pod = {"restartPolicy": "Never", "containers": [{"name": "train", "image": "train:1"}]}
    template = {"spec": {"template": {"spec": pod}}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": template}
    meta = {"name": "retrain-iris"}
    cron_job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec}
    client.create(CRON_JOBS, cron_job, namespace)
    job = {"job": {"cronJob": "retrain-iris"}}
    controllers.apply("iris", monitoring={"drift": {}, "onDrift": job})
    controllers.await_serving("iris")

    def retrain(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "sluice.cli.main", "retrain", "iris", "-n", namespace, *words]
        argv.append(f"--kubeconfig={controllers.cluster.kubeconfig}")
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    done = retrain("--reason", "the labels of May are in", "--timeout", "480s")
    assert done.returncode == 0, done.stderr
    [made] = until(lambda: client.list(JOBS, namespace).items, "a Job")
    env = made["spec"]["template"]["spec"]["containers"][0]["env"]
    told = json.loads({one["name"]: one["value"] for one in env}["SLUICE_RETRAIN_INPUT"])
    assert (told["reason"], told["why"]) == ("Requested", "the labels of May are in")
    until(
        lambda: controllers.rollout("iris")["status"]["monitoring"]["retrainings"][0].get("job"),
        "its name in the status",
    )
    [entry] = controllers.rollout("iris")["status"]["monitoring"]["retrainings"]
    assert (entry["state"], entry["by"], entry["why"]) == ("Running", told["by"], told["why"])
    again = retrain()
    assert again.returncode == 4
    assert f"retraining 1 is running (Job {made['metadata']['name']})" in again.stderr
    assert len(client.list(JOBS, namespace).items) == 1


def test_nothing_is_written_at_rest(running: Controllers) -> None:
    running.apply("iris")
    running.await_serving("iris")
    passes = "sluice_reconcile_seconds_count"

    def looked_again(before: float) -> bool:
        return running.metric("a", passes) > before

    def at_rest() -> bool:
        """All that follows from the creation is known, and written."""
        conditions = running.rollout("iris")["status"]["conditions"]
        true = {c["type"] for c in conditions if c["status"] == "True"}
        return {"Ready", "TrafficVerified", "Promoted"} <= true

    def written() -> tuple[Any, ...]:
        return running.writes("a"), running.rollout("iris"), running.await_created("iris")

    def wake() -> None:
        """Until it was looked at once more; nothing changed for it."""
        looked = running.metric("a", passes)
        note = {"metadata": {"annotations": {"touched": str(time.monotonic())}}}
        running.client.merge_patch(
            DEPLOYMENTS, deployment["metadata"]["name"], running.namespace, note
        )
        until(partial(looked_again, looked), "another pass")

    def wrote_nothing() -> bool:
        before = written()
        wake()
        return written() == before

    until(at_rest, "a rollout at rest")
    until(lambda: running.told("iris", "Created"), "the Event Created")
    until(lambda: running.metric("a", "sluice_queue_depth") == 0, "an empty queue")
    [deployment] = running.client.list(DEPLOYMENTS, running.namespace).items
    until(wrote_nothing, "the end of what a pass under way still wrote")
    before = written()
    for _ in range(5):
        wake()
    assert written() == before


# -- one lease ----------------------------------------------------------------------------------


def test_of_two_controllers_only_the_leader_writes(controllers: Controllers) -> None:
    controllers.start("a")
    controllers.await_leader("a")
    controllers.start("b")
    for index in range(10):
        controllers.apply(f"iris-{index}")
    for index in range(10):
        controllers.await_serving(f"iris-{index}")
    assert controllers.metric("a", "sluice_leader") == 1
    assert controllers.metric("b", "sluice_leader") == 0
    assert controllers.writes("b") == {}
    assert controllers.writes("a")["seldondeployments"] == 10


def test_sigterm_hands_the_lease_over(controllers: Controllers) -> None:
    controllers.start("a")
    controllers.await_leader("a")
    assert controllers.terminate("a") == 0
    assert controllers.holder() == ""  # given back, not run out: it lasts a minute
    controllers.start("b")
    controllers.await_leader("b")
    controllers.apply("iris")
    controllers.await_created("iris")


def test_after_a_sigkill_the_other_takes_over_and_goes_on(controllers: Controllers) -> None:
    controllers.start("a", lease_seconds=12.0)
    controllers.await_leader("a")
    controllers.start("b", lease_seconds=12.0)
    controllers.apply("iris")
    controllers.await_serving("iris")
    before = controllers.await_created("iris")
    controllers.kill("a")
    assert controllers.holder() == "a"  # nobody told the others
    controllers.push("iris", "iris:2")
    controllers.await_leader("b")
    until(
        lambda: len(controllers.await_created("iris")["spec"]["predictors"]) == 2,
        "the new version brought in by b",
    )
    after = controllers.await_created("iris")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["predictors"][0] == before["spec"]["predictors"][0]


def test_a_refused_right_is_told_and_nothing_is_written(
    cluster: Cluster, namespace: str, shipped: Path
) -> None:
    del shipped
    nobody = Controllers(cluster, namespace, cluster.user(SYSTEM_NAMESPACE))
    try:
        nobody.start("nobody")
        until(lambda: "forbidden" in nobody.log("nobody").lower(), "the log naming the refusal")
        assert nobody.metric("nobody", "sluice_leader") == 0
        assert nobody.writes("nobody") == {}
    finally:
        nobody.stop_all()
