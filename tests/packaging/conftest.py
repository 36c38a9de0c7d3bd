"""All images, built once (from the cache where they are there), and a way to run one."""

from __future__ import annotations

import pytest

from sluice.packaging import build
from sluice.sandbox.progress import PlainProgress
from tests.packaging.running import Runner


@pytest.fixture(scope="session")
def built():
    return build(None, PlainProgress())


@pytest.fixture(scope="session")
def runner(built, tmp_path_factory):
    runner = Runner(built.layout, tmp_path_factory.mktemp("bundles"))
    yield runner
    runner.clean()
