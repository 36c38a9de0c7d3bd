"""What the tests on live parts wait with: nothing is missed by being short, or looked at late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial import NAMESPACE, Trial

from sluice.api.status import Phase
from sluice.resources import MODEL_ROLLOUTS, VIRTUAL_SERVICES
from sluice.testing.kube import FakeKube

STEPS = ({"main": 100}, {"main": 80, "next": 20}, {"main": 50, "next": 50}, {"next": 100})


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    kube = FakeKube()
    cluster: Any = SimpleNamespace(
        client=kube.client(),
        layout=SimpleNamespace(root=tmp_path),
        supervisor=SimpleNamespace(stop=lambda name, grace: None),
    )
    one = Trial(cluster, "iris")
    one.create(rate=0, wait=False)
    yield one
    one.end()
    kube.close()


def says(trial: Trial, *phases: Phase) -> None:
    """The controller writes one status after the other."""
    for phase in phases:
        body = {"status": {"phase": phase.value}}
        trial.client.merge_patch(MODEL_ROLLOUTS, trial.name, NAMESPACE, body, subresource="status")


def split(shares: dict[str, int]) -> dict[str, Any]:
    route = [
        {"destination": {"host": f"iris-{name}", "subset": name}, "weight": share}
        for name, share in shares.items()
    ]
    return {"spec": {"hosts": ["*"], "http": [{"route": route}]}}


def test_a_phase_that_is_over_is_found_all_the_same(trial: Trial) -> None:
    says(trial, Phase.PREPARING, Phase.STEPPING, Phase.IDLE)
    assert trial.until_phase(Phase.STEPPING).phase is Phase.STEPPING
    assert trial.status().phase is Phase.IDLE


def test_a_phase_before_what_was_waited_for_last_is_another_one(trial: Trial) -> None:
    says(trial, Phase.STEPPING, Phase.ROLLED_BACK)
    trial.until(lambda s: s.phase is Phase.ROLLED_BACK, "the end")
    with pytest.raises(AssertionError, match="not within"):
        trial.until_phase(Phase.STEPPING, seconds=0.2)
    says(trial, Phase.STEPPING, Phase.IDLE)
    assert trial.until_phase(Phase.STEPPING).phase is Phase.STEPPING


def test_every_split_is_told_up_to_the_moment_of_the_question(trial: Trial) -> None:
    kind = {"apiVersion": VIRTUAL_SERVICES.api_version, "kind": VIRTUAL_SERVICES.kind}
    meta = {"name": trial.name, "namespace": NAMESPACE}
    trial.client.create(VIRTUAL_SERVICES, {**kind, "metadata": meta, **split(STEPS[0])}, NAMESPACE)
    trial.watch_routes()
    assert trial.weights is not None
    for number, shares in enumerate(STEPS[1:], start=2):
        trial.client.merge_patch(VIRTUAL_SERVICES, trial.name, NAMESPACE, split(shares))
        assert trial.weights.seen() == list(STEPS[:number])
    assert trial.weights.of("next") == [0, 20, 50, 100]
