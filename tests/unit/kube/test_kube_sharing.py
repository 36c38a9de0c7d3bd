"""What objects have in common is kept once."""

from __future__ import annotations

import json
from typing import Any

from sluice.kube import sharing
from sluice.kube.sharing import Shared

TEXT = json.dumps(
    {
        "metadata": {"name": "iris", "labels": {"a-label": "of both"}, "generation": 2},
        "spec": {"predictors": [{"traffic": 100, "ratio": 0.5, "on": True, "none": None}]},
        "long": "x" * 65,
    }
)


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [s for key, inner in value.items() for s in (key, *strings(inner))]
    if isinstance(value, list):
        return [s for inner in value for s in strings(inner)]
    return [value] if isinstance(value, str) else []


def test_two_objects_are_equal_to_what_came_and_share_their_strings() -> None:
    shared = Shared()
    one, other = (shared.of(json.loads(TEXT)) for _ in range(2))
    assert one == other == json.loads(TEXT)
    assert list(one) == list(json.loads(TEXT)), "in the same order"
    pairs = list(zip(strings(one), strings(other), strict=True))
    apart = [a for a, b in pairs if a is not b]
    assert apart == ["x" * 65], "a long text is not looked for"


def test_what_is_known_of_values_has_an_end_and_goes_on_after_it() -> None:
    shared = Shared()
    for number in range(2 * sharing.MOST + 10):
        shared.of({"uid": f"uid-{number}"})
    assert len(shared._values) <= sharing.MOST
    one, other = (shared.of(json.loads(TEXT)) for _ in range(2))
    assert one["metadata"]["name"] is other["metadata"]["name"]
