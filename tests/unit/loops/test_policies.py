"""Which policy a rollout gets: the object that it names, else the one built in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api.builtin import BALANCED, LIBRARY
from sluice.api.rollout import parse_policy, parse_rollout
from sluice.errors import SpecError
from sluice.loops.policies import Policies

ROOT = Path(__file__).resolve().parents[3]


class Some:
    """A store of the given objects."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self._objects = {
            (o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in objects
        }

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self._objects.get((namespace, name))

    def values(self) -> list[dict[str, Any]]:
        return list(self._objects.values())


def policies(*cluster: dict[str, Any], **more: Any) -> Policies:
    return Policies(Some(), Some(*cluster), **more)


def rollout(**spec: Any) -> Any:
    predictor = {"graph": {"name": "m"}, "componentSpecs": [{"spec": {"containers": []}}]}
    return parse_rollout(
        {
            "metadata": {"name": "iris", "namespace": "prod", "uid": "1"},
            "spec": {"template": {"spec": {"predictors": [predictor]}}, **spec},
        }
    )


def naming(name: str, kind: str = "ClusterCanaryPolicy") -> Any:
    return rollout(policyRef={"kind": kind, "name": name})


def library(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "canary_policies" / f"{name}.yaml").read_text())


@pytest.mark.parametrize("name", list(LIBRARY))
def test_what_is_built_in_is_what_the_library_says(name: str) -> None:
    assert parse_policy(library(name)) == LIBRARY[name]


@pytest.mark.parametrize("name", list(LIBRARY))
def test_a_new_installation_has_policies_to_name(name: str) -> None:
    assert policies().of(naming(name)) == (LIBRARY[name], f"{name} (built in)")


def test_an_object_in_the_cluster_wins_over_the_one_built_in() -> None:
    changed = library("fast")
    changed["spec"]["bake"] = "7m"
    found, name = policies(changed).of(naming("fast"))
    assert (found.bake, name) == (420.0, "ClusterCanaryPolicy/fast")


def test_a_rollout_that_names_none_gets_the_default() -> None:
    assert policies().of(rollout()) == (BALANCED, "balanced (built in)")
    assert policies(default="fast").of(rollout()) == (LIBRARY["fast"], "fast (built in)")
    own = {**library("fast"), "metadata": {"name": "ours"}}
    assert policies(own, default="ours").of(rollout())[1] == "ClusterCanaryPolicy/ours"


@pytest.mark.parametrize(
    ("asked", "options", "said"),
    [
        (naming("ours"), {}, "there is no ClusterCanaryPolicy 'ours' in the cluster"),
        (naming("fast", "CanaryPolicy"), {}, "no CanaryPolicy 'fast' in namespace prod"),
        (rollout(), {"default": "ours"}, "--default-policy of the controller"),
    ],
)
def test_a_policy_that_is_nowhere_is_told(asked: Any, options: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said) as error:
        policies(**options).of(asked)
    assert error.value.reason == "PolicyNotFound"


def test_a_confined_controller_does_not_guess_what_a_cluster_policy_says() -> None:
    """One of that name may be in the cluster, changed: the built-in one is no answer."""
    blind = policies(cluster_problem=lambda: "forbidden")
    with pytest.raises(SpecError, match="may not read ClusterCanaryPolicies") as error:
        blind.of(naming("fast"))
    assert error.value.reason == "PolicyNotReadable"
    assert blind.of(rollout())[1] == "balanced (built in)"
