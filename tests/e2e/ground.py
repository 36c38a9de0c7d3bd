"""The cluster of the end-to-end tests, with the tools that a user has: helm and kubectl."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trial import NAMESPACE, Trial, serves

from sluice import packaging
from sluice.api.status import RolloutStatus
from sluice.cluster.up import Cluster, node_port
from sluice.kube.client import Client
from sluice.sandbox import parts
from sluice.sandbox.demo.requests import Shot
from sluice.sandbox.processes import Supervisor

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "sluice"
SYSTEM = "sluice-system"
# Short times, so that a rollout takes seconds; the lease can be waited for.
VALUES: dict[str, Any] = {
    "pulse": 1,
    "settle": 1,
    "extraArgs": ["--status-interval=1", "--lease-seconds=6"],
    "prometheus": {"url": "http://prometheus.monitoring:9090"},
}


@dataclass
class Count:
    """What one load saw: requests, failures of the candidate that was to fail, all others."""

    name: str
    requests: int
    by_candidate: int
    other: int


@dataclass
class Ground:
    """One cluster for all tests. `own`: None for a cluster of the user's (SLUICE_KUBECONFIG)."""

    kubeconfig: Path
    client: Client
    supervisor: Supervisor
    gateway: str
    prometheus: str
    images: packaging.Built
    root: Path
    own: Cluster | None
    counts: list[Count] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    # What `Trial` asks of a sandbox.
    @property
    def layout(self) -> SimpleNamespace:
        return SimpleNamespace(root=self.root, kubeconfig=self.kubeconfig)

    @property
    def envoy(self) -> SimpleNamespace:
        return SimpleNamespace(url=self.gateway)

    def run(self, *argv: str, timeout: float = 900.0) -> subprocess.CompletedProcess[str]:
        """A command with the cluster's kubeconfig, and our tools on the PATH."""
        tools = {str(parts.ensure(name).parent) for name in ("kubectl", "helm")}
        path = os.pathsep.join([str(Path(sys.executable).parent), *tools, os.environ["PATH"]])
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
        )

    def ok(self, *argv: str, timeout: float = 900.0) -> str:
        """The output of a command that must succeed."""
        done = self.run(*argv, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def kubectl(self, *args: str, timeout: float = 900.0) -> str:
        return self.ok("kubectl", *args, timeout=timeout)

    def install(self, **values: Any) -> str:
        """`helm upgrade --install`, as the docs say, and until both controllers are ready."""
        name = next(name for name in self.images.digests if "sluice-controller:" in name)
        repository, _, tag = name.rpartition(":")
        given = {**VALUES, "image": {"repository": repository, "tag": tag}, **values}
        path = self.root / "values.json"
        path.write_text(json.dumps(given))
        where = ("--namespace", SYSTEM, "--create-namespace")
        return self.ok(
            *("helm", "upgrade", "--install", "sluice", str(CHART), *where),
            *("--values", str(path), "--wait", "--timeout", "10m"),
        )

    def holder(self) -> str:
        """Who holds the lease, the pod and a name for its process; "" if nobody does."""
        return self.kubectl(
            *("--namespace", SYSTEM, "get", "lease", "sluice-controller"),
            *("--output", "jsonpath={.spec.holderIdentity}"),
        )

    def leader(self) -> str:
        """The pod that holds the lease; "" if nobody does."""
        return self.holder().partition("_")[0]

    def kill(self, pod: str) -> None:
        """SIGKILL to a controller's process: it gives nothing back, the lease has to run out."""
        needle = f"POD_NAME={pod}".encode()
        for entry in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if needle in entry.read_bytes().split(b"\0"):
                    os.kill(int(entry.parent.name), signal.SIGKILL)
                    return
        raise AssertionError(f"no process of {pod} runs here")

    def report(self) -> str:
        """The counts and figures as a table."""
        lines = [f"{'load':<22}{'requests':>10}{'bad model':>11}{'other failures':>16}"]
        lines += [
            f"{c.name:<22}{c.requests:>10}{c.by_candidate:>11}{c.other:>16}" for c in self.counts
        ]
        total = [sum(getattr(c, key) for c in self.counts) for key in _COUNTED]
        lines.append(f"{'all':<22}{total[0]:>10}{total[1]:>11}{total[2]:>16}")
        lines += [f"{name}: {value:.1f} s" for name, value in self.figures.items()]
        return "\n".join(lines)


_COUNTED = ("requests", "by_candidate", "other")


def on_own(cluster: Cluster) -> Ground:
    """The ground on a cluster that this process made."""
    access = cluster.access()
    return Ground(
        cluster.place.kubeconfig,
        cluster.client,
        cluster.supervisor,
        access["gateway"],
        access["prometheus"],
        cluster.images,
        cluster.root,
        cluster,
    )


def on_users(kubeconfig: Path, root: Path) -> Ground:
    """The ground on a cluster of the user's, prepared with `python -m sluice.cluster install`."""
    client = Client.connect(kubeconfig=str(kubeconfig))
    return Ground(
        kubeconfig,
        client,
        Supervisor(root),
        node_port(client, "istio-system", "istio-ingressgateway"),
        node_port(client, "monitoring", "prometheus"),
        packaging.build(),
        root,
        None,
    )


# Seldon asks for half a core for each orchestrator; a dozen of them share this machine's two.
ORCHESTRATOR = {
    "resources": {
        "requests": {"cpu": "20m", "memory": "64Mi"},
        "limits": {"cpu": "500m", "memory": "512Mi"},
    }
}


class Journey(Trial):
    """A rollout in the cluster."""

    def __init__(self, ground: Ground, name: str, namespace: str = NAMESPACE) -> None:
        super().__init__(ground, name, namespace)  # type: ignore[arg-type]
        self.ground = ground

    def manifest(self, variant: str, *, replicas: int = 1, **spec: Any) -> dict[str, Any]:
        """The ModelRollout, with an orchestrator that asks for little."""
        obj = super().manifest(variant, replicas=replicas, **spec)
        for predictor in obj["spec"]["template"]["spec"]["predictors"]:
            predictor["svcOrchSpec"] = ORCHESTRATOR
        return obj

    def resume(self) -> None:
        """A person says that it may go on."""
        where = ("--namespace", self.namespace, "--timeout", "8m")
        self.ground.ok("sluice", "resume", self.name, *where)

    def count(self, *, bad: str = "") -> list[Shot]:
        """Ends the load, notes the counts, and returns the failures that `bad` did not answer."""
        failures = self.failures(besides=bad)
        shots = self.shots.all
        failed = sum(shot.failed for shot in shots)
        self.ground.counts.append(
            Count(self.name, len(shots), failed - len(failures), len(failures))
        )
        return failures


# At half of the traffic until it is resumed: there is time for anything to happen.
HELD: dict[str, Any] = {
    "steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "1s", "pause": True}]
}


class Held:
    """Rollouts under load that wait in mid-rollout, begun together: a pod takes 20 s to be ready.

    `replicas` by name. What happens to one happens to all of them: each has to lose nothing.
    """

    def __init__(self, ground: Ground, replicas: dict[str, int], rate: float) -> None:
        self.ground = ground
        self.rollouts = {name: Journey(ground, name) for name in replicas}
        self._replicas = replicas
        self._rate = rate

    def begin(self) -> None:
        """Returns once every candidate has half of the traffic, and requests."""
        for name, rollout in self.rollouts.items():
            rollout.create(rate=0, wait=False, replicas=self._replicas[name])
        for rollout in self.rollouts.values():
            rollout.until(serves, "the stable serves")
            rollout.start_load(self._rate)
        for name, rollout in self.rollouts.items():
            rollout.change("better", replicas=self._replicas[name], canary=HELD)
        for rollout in self.rollouts.values():
            rollout.until(lambda s: s.pause is not None, "it waits in mid-rollout")

    def promoted(self, name: str) -> RolloutStatus:
        """Goes on, and ends in the one promotion; no request failed, whatever happened."""
        rollout = self.rollouts[name]
        before = rollout.status()
        rollout.resume()
        status = rollout.until_ended("Promoted")
        assert len(status.history) == 1, "one rollout, not one again"
        assert status.stable is not None
        assert before.candidate is not None
        assert status.stable.revision == before.candidate.revision
        assert rollout.count() == []
        rollout.end()
        return status

    def end(self) -> None:
        """Takes all of them away."""
        for rollout in self.rollouts.values():
            rollout.end()
