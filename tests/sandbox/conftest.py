"""One sandbox for all end-to-end tests: each brings a rollout, a load and a name of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from trial import Trial

from sluice.sandbox.guardian import tagged
from sluice.sandbox.layout import Layout
from sluice.sandbox.up import Options, Sandbox

# A lease short enough to be waited for, and long enough to be kept on a machine that is busy.
CONTROLLER = ("--pulse=1", "--status-interval=1", "--lease-seconds=6", "--settle=1")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Everything, Seldon's stand-in and the controller included; nothing is left of it after."""
    options = Options(scrape_seconds=1.0, controller_args=CONTROLLER)
    sandbox = Sandbox(Layout(tmp_path_factory.mktemp("cluster")), options)
    sandbox.up()
    identity = sandbox.supervisor.identity
    try:
        with sandbox.keeping_controllers():
            yield sandbox
    finally:
        assert sandbox.down() == 0
        assert tagged(identity) == set()


@pytest.fixture
def start(cluster: Sandbox) -> Iterator[Callable[[str], Trial]]:
    """Makes trials, and ends them with the test."""
    with contextlib.ExitStack() as ends:

        def make(name: str) -> Trial:
            one = Trial(cluster, name)
            ends.callback(one.end)
            return one

        yield make
