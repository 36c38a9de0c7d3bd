"""One cluster and one installation of the chart for all end-to-end tests."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ground import Ground, Journey, on_own, on_users
from trial import NAMESPACE

from sluice.cluster.up import Cluster
from sluice.errors import NotFoundError
from sluice.sandbox.guardian import tagged
from sluice.sandbox.progress import PlainProgress

_GROUND = pytest.StashKey[Ground]()


@pytest.fixture(scope="session")
def bare(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    """A cluster without Sluice: SLUICE_KUBECONFIG's, one that is kept (KEEP=1), or our own."""
    root = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as ends:
        if users := os.environ.get("SLUICE_KUBECONFIG"):
            ground = on_users(Path(users).absolute(), root)
            ends.callback(ground.supervisor.close)
        else:
            cluster = Cluster(root, progress=PlainProgress())
            cluster.up()
            identity = cluster.supervisor.identity
            ends.callback(lambda: _nothing_left(cluster, identity))
            if os.environ.get("SLUICE_E2E_KEEP") == "1":
                ends.callback(lambda: _stay(request.config, cluster))
            ground = on_own(cluster)
        request.config.stash[_GROUND] = ground
        yield ground


def _stay(config: pytest.Config, cluster: Cluster) -> None:
    """Until Ctrl-C: somebody wants to look around."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nThe cluster is kept until Ctrl-C.\nexport KUBECONFIG={cluster.place.kubeconfig}")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A cluster of the user's is not for breaking: what stops its API server is left out."""
    if not os.environ.get("SLUICE_KUBECONFIG"):
        return
    left = [item for item in items if item.get_closest_marker("own_cluster")]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)


def _nothing_left(cluster: Cluster, identity: str) -> None:
    assert cluster.down() == []
    assert tagged(identity) == set()


@pytest.fixture(scope="session")
def cluster(bare: Ground) -> Ground:
    """With Sluice in it, from the chart, and the namespace of the models."""
    with contextlib.suppress(NotFoundError):
        bare.client.request("GET", f"/api/v1/namespaces/{NAMESPACE}")
        return _installed(bare)
    bare.kubectl("create", "namespace", NAMESPACE)
    return _installed(bare)


def _installed(ground: Ground) -> Ground:
    ground.install()
    ground.kubectl("apply", "-f", "canary_policies/")
    return ground


@pytest.fixture
def start(cluster: Ground) -> Iterator[Callable[..., Journey]]:
    """Makes rollouts, and ends them with the test; their requests are counted."""
    with contextlib.ExitStack() as ends:

        def make(name: str) -> Journey:
            one = Journey(cluster, name)
            ends.callback(one.end)
            return one

        yield make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The requests that were sent, and how they ended."""
    ground = terminalreporter.config.stash.get(_GROUND, None)
    if ground is None or not ground.counts:
        return
    terminalreporter.section("requests through the gateway")
    terminalreporter.write_line(ground.report())
    if out := os.environ.get("SLUICE_E2E_REPORT"):
        counts = [vars(one) for one in ground.counts]
        Path(out).write_text(json.dumps({"counts": counts, "seconds": ground.figures}, indent=1))
