"""Recordings that several tests look at; made once, never changed."""

from __future__ import annotations

import pytest

from sluice.replay.recording import Recording

from .canary import Past, canary


@pytest.fixture(scope="session")
def past() -> Past:
    """A healthy candidate from minute 1 on; a pod of each side restarts."""
    return canary(seconds=900, restarts=(420.0,))


@pytest.fixture(scope="session")
def recording(past: Past) -> Recording:
    return past.recording()
