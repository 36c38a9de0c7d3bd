"""Two electors, one real Lease: one is killed, one is stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from waiting import until

from sluice.clock import SystemClock
from sluice.errors import NotFoundError
from sluice.kube.lease import Elector
from sluice.resources import LEASES

if TYPE_CHECKING:
    from tests.api.conftest import Cluster

# Long enough that a busy machine does not take the lease from a leader that lives.
TIMING = {"duration": 12.0, "renew_deadline": 8.0, "retry": 0.5}
# A candidate in a process of its own: leads until SIGTERM.
PROGRAM = """
import random, signal, sys, threading
from sluice.clock import SystemClock
from sluice.kube.client import Client
from sluice.kube.lease import Elector
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
kubeconfig, namespace, identity, *timing = sys.argv[1:]
duration, renew_deadline, retry = map(float, timing)
elector = Elector(
    Client.connect(kubeconfig=kubeconfig), namespace=namespace, name="one-writer",
    identity=identity, clock=SystemClock(), rng=random.Random(), duration=duration,
    renew_deadline=renew_deadline, retry=retry,
)
sys.exit(0 if elector.run(stop) else 3)
"""


def holder(cluster: Cluster, namespace: str) -> str | None:
    try:
        lease = cluster.client.get(LEASES, "one-writer", namespace)
    except NotFoundError:
        return None
    found: str | None = lease["spec"].get("holderIdentity")
    return found


def process(cluster: Cluster, namespace: str, identity: str) -> subprocess.Popen[bytes]:
    timing = [str(TIMING[name]) for name in ("duration", "renew_deadline", "retry")]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(cluster.kubeconfig), namespace, identity, *timing],
        start_new_session=True,
    )


def elector(cluster: Cluster, namespace: str, identity: str) -> Elector:
    return Elector(
        cluster.client_for(),
        namespace=namespace,
        name="one-writer",
        identity=identity,
        clock=SystemClock(),
        rng=random.Random(1),
        **TIMING,
    )


def test_a_killed_leader_is_replaced_after_its_lease(cluster: Cluster, namespace: str) -> None:
    first = process(cluster, namespace, "first")
    second = elector(cluster, namespace, "second")
    stop = threading.Event()
    thread = threading.Thread(target=second.run, args=(stop,), daemon=True)
    try:
        until(lambda: holder(cluster, namespace) == "first")
        thread.start()
        until(lambda: second.leader == "first")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait(300)
        assert not second.is_leader()
        until(second.is_leader)
        lease = cluster.client.get(LEASES, "one-writer", namespace)
        assert lease["spec"]["holderIdentity"] == "second"
        assert lease["spec"]["leaseTransitions"] == 1
    finally:
        stop.set()
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
    thread.join(300)
    assert not thread.is_alive()


def test_sigterm_releases_the_lease_for_the_next(cluster: Cluster, namespace: str) -> None:
    first = process(cluster, namespace, "first")
    try:
        until(lambda: holder(cluster, namespace) == "first")
        first.terminate()
        assert first.wait(300) == 0
        assert holder(cluster, namespace) is None
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
    second = elector(cluster, namespace, "second")
    stop = threading.Event()
    thread = threading.Thread(target=second.run, args=(stop,), daemon=True)
    thread.start()
    until(second.is_leader)
    stop.set()
    thread.join(300)
    assert holder(cluster, namespace) is None


def test_a_leader_whose_server_dies_stops_by_its_own_clock(own_cluster: Cluster) -> None:
    namespace = own_cluster.new_namespace()
    alone = elector(own_cluster, namespace, "alone")
    kept: list[bool] = []
    thread = threading.Thread(target=lambda: kept.append(alone.run(threading.Event())), daemon=True)
    thread.start()
    until(alone.is_leader)
    own_cluster.supervisor.kill("kube-apiserver")
    until(lambda: not alone.is_leader())
    thread.join(300)
    assert kept == [False]
