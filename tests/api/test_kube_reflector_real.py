"""The reflector through what a real API server does to it: dies, comes back, forgets."""

from __future__ import annotations

import json
import random
import threading
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from waiting import until

from sluice.clock import SystemClock
from sluice.errors import GoneError
from sluice.kube.reflector import Reflector
from sluice.resources import CONFIG_MAPS

if TYPE_CHECKING:
    from tests.api.conftest import Cluster


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def put(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.client.create(CONFIG_MAPS, {"metadata": {"name": name}}, namespace)


def reflect(cluster: Cluster, namespace: str, handler: Any) -> Reflector:
    return Reflector(
        cluster.client_for(),
        CONFIG_MAPS,
        handler,
        clock=SystemClock(),
        rng=random.Random(1),
        namespace=namespace,
    )


def test_a_watch_survives_a_crash_of_the_api_server(
    own_cluster: Cluster, stop: threading.Event
) -> None:
    namespace = own_cluster.new_namespace()
    heard: list[tuple[str, str]] = []
    reflector = reflect(
        own_cluster,
        namespace,
        lambda event, new, old: heard.append((event, (new or old)["metadata"]["name"])),
    )
    put(own_cluster, namespace, "before")
    reflector.start(stop)
    assert reflector.synced.wait(480)
    put(own_cluster, namespace, "during")
    until(lambda: ("ADDED", "during") in heard)
    own_cluster.control_plane.restart_api_server(crash=True)
    put(own_cluster, namespace, "after")
    own_cluster.client.delete(CONFIG_MAPS, "before", namespace)
    until(lambda: ("ADDED", "after") in heard and ("DELETED", "before") in heard)
    assert sorted(heard) == [
        ("ADDED", "after"),
        ("ADDED", "before"),
        ("ADDED", "during"),
        ("DELETED", "before"),
    ]
    until(lambda: reflector.connected)


def compact(cluster: Cluster, namespace: str) -> None:
    """Make etcd, and with it the API server's cache after a restart, forget all that was."""
    found = cluster.client.list(CONFIG_MAPS, namespace)
    # etcd's own address is known to its process alone.
    argv = cluster.supervisor.get("etcd").popen.args  # type: ignore[union-attr]
    flag = "--listen-client-urls="
    url = next(str(word).removeprefix(flag) for word in argv if str(word).startswith(flag))
    request = urllib.request.Request(
        f"{url}/v3/kv/compaction",
        data=json.dumps({"revision": found.resource_version, "physical": True}).encode(),
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def test_after_a_compaction_it_gets_410_and_lists_again(
    own_cluster: Cluster, stop: threading.Event
) -> None:
    namespace = own_cluster.new_namespace()
    for name in ("kept", "deleted-meanwhile"):
        put(own_cluster, namespace, name)
    heard: list[tuple[str, str]] = []
    reflector = reflect(
        own_cluster,
        namespace,
        lambda event, new, old: heard.append((event, (new or old)["metadata"]["name"])),
    )
    reflector.start(stop)
    until(lambda: reflector.connected)
    old_version = own_cluster.client.list(CONFIG_MAPS, namespace).resource_version
    # Down, changed and compacted behind its back, up again.
    held = threading.Event()
    reflector._client.watch = lambda *args, **options: hold(*args, **options)  # type: ignore[method-assign]
    real_watch = type(reflector._client).watch

    def hold(*args: Any, **options: Any) -> Any:
        held.wait(300)
        return real_watch(reflector._client, *args, **options)

    own_cluster.control_plane.restart_api_server(crash=True)
    own_cluster.client.delete(CONFIG_MAPS, "deleted-meanwhile", namespace)
    for number in range(20):
        put(own_cluster, namespace, f"new-{number}")
    compact(own_cluster, namespace)
    own_cluster.control_plane.restart_api_server(crash=True)
    with pytest.raises(GoneError) as gone:
        list(
            own_cluster.client.watch(
                CONFIG_MAPS, namespace, resource_version=old_version, timeout_seconds=5
            )
        )
    assert gone.value.status == 410
    held.set()
    until(lambda: reflector.relists == 2 and len(reflector.items()) == 21)
    assert heard.count(("DELETED", "deleted-meanwhile")) == 1
    assert heard.count(("ADDED", "kept")) == 1
    put(own_cluster, namespace, "followed")
    until(lambda: ("ADDED", "followed") in heard)


def test_stop_closes_an_idle_watch_at_once(cluster: Cluster, namespace: str) -> None:
    stop = threading.Event()
    reflector = reflect(cluster, namespace, lambda *_: None)
    thread = reflector.start(stop)
    until(lambda: reflector.connected)
    stop.set()
    thread.join(45)  # the watch itself would last 50 s and more
    assert not thread.is_alive()
