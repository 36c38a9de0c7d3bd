"""A captured sample on a real API server: with the example's rights, and not one more."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sluice.capture.packing import packed
from sluice.capture.places import InConfigMap
from sluice.compare.lines import content_of, requests_in
from sluice.errors import ForbiddenError, InvalidError, UsageError
from sluice.kube.client import Client
from sluice.resources import CONFIG_MAPS

if TYPE_CHECKING:
    from tests.api.conftest import Cluster

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "capture.yaml"
NAME, KEY = "iris-preflight", "requests.jsonl.gz"
ABOUT = {"deployment": "iris", "seen": "9", "kept": "9", "from": "a", "to": "b"}
LINES = [b'{"data":{"ndarray":[[%d]]}}' % number for number in range(9)]


def rules(**changes: Any) -> list[dict[str, Any]]:
    [role] = [one for one in yaml.safe_load_all(EXAMPLE.read_text()) if one["kind"] == "Role"]
    return [{**rule, **changes} for rule in role["rules"]]


def place(client: Client, namespace: str, name: str = NAME) -> InConfigMap:
    return InConfigMap(client, namespace, name, KEY)


def make(cluster: Cluster, namespace: str, **content: Any) -> None:
    cluster.client.create(CONFIG_MAPS, {"metadata": {"name": NAME}, **content}, namespace)


def test_the_examples_rights_are_enough(cluster: Cluster, namespace: str) -> None:
    make(cluster, namespace)
    client = cluster.client_for(cluster.user(namespace, rules=rules()))
    held = place(client, namespace)
    assert not held.look()
    for count in (5, 9):
        held.write(packed(LINES[:count], zipped=True, most=held.room()).content, ABOUT)
    found = cluster.client.get(CONFIG_MAPS, NAME, namespace)
    assert [one.body.encode() for one in requests_in(content_of(found, KEY))] == LINES
    assert found["metadata"]["annotations"]["sluice.dev/captured-seen"] == "9"
    assert held.look()
    with pytest.raises(ForbiddenError):
        place(client, namespace, "another").look()


@pytest.mark.parametrize("verb", ["get", "patch"])
def test_each_missing_verb_is_named(cluster: Cluster, namespace: str, verb: str) -> None:
    make(cluster, namespace)
    verbs = [other for other in rules()[0]["verbs"] if other != verb]
    client = cluster.client_for(cluster.user(namespace, rules=rules(verbs=verbs)))
    with pytest.raises(ForbiddenError, match=f"the verb {verb} on configmaps is missing"):
        place(client, namespace).look()


def test_one_that_is_gone_and_may_not_be_made_says_what_to_do(
    cluster: Cluster, namespace: str
) -> None:
    client = cluster.client_for(cluster.user(namespace, rules=rules()))
    with pytest.raises(ForbiddenError, match=f"create configmap {NAME}"):
        place(client, namespace).look()


def test_with_the_right_to_create_it_is_made(cluster: Cluster, namespace: str) -> None:
    more = [*rules(), {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]
    client = cluster.client_for(cluster.user(namespace, rules=more))
    held = place(client, namespace)
    assert not held.look()
    held.write(packed(LINES, zipped=True, most=None).content, ABOUT)
    assert content_of(cluster.client.get(CONFIG_MAPS, NAME, namespace), KEY)


def test_a_full_configmap_is_taken_and_a_byte_more_is_not(cluster: Cluster, namespace: str) -> None:
    make(cluster, namespace, data={"note": "ä" * 1000})
    held = place(cluster.client, namespace)
    held.look()
    room = held.room()
    assert room == (1 << 20) - 2000
    held.write(random.Random(1).randbytes(room), ABOUT)
    assert held.room() == room, "its own content makes place"
    with pytest.raises(InvalidError):
        held.write(random.Random(1).randbytes(room + 1), ABOUT)


def test_an_immutable_one_is_refused(cluster: Cluster, namespace: str) -> None:
    make(cluster, namespace, immutable=True)
    with pytest.raises(UsageError, match="immutable"):
        place(cluster.client, namespace).look()
