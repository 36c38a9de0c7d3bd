"""Into a ConfigMap or a file: as a whole, with the rights that are there, and told when not."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sluice.capture.places import InConfigMap, InFile, is_lasting
from sluice.errors import ApiUnavailableError, ForbiddenError, UsageError
from sluice.resources import CONFIG_MAPS
from sluice.testing.kube import FakeKube

ABOUT = {"deployment": "iris", "seen": "9", "kept": "1", "from": "a", "to": "b"}


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube()


def place(kube: FakeKube) -> InConfigMap:
    return InConfigMap(kube.client(), "prod", "requests", "r.jsonl.gz")


def make(kube: FakeKube, **content: object) -> None:
    kube.client().create(CONFIG_MAPS, {"metadata": {"name": "requests"}, **content}, "prod")


def stored(kube: FakeKube) -> dict[str, object]:
    return kube.client().get(CONFIG_MAPS, "requests", "prod")


def test_a_configmap_gets_the_sample_and_what_it_is_of(kube: FakeKube) -> None:
    make(kube, data={"note": "mine"}, metadata={"name": "requests", "annotations": {"x": "y"}})
    assert not place(kube).look()
    place(kube).write(b"\x1f\x8bpacked", ABOUT)
    found = stored(kube)
    assert found["binaryData"] == {"r.jsonl.gz": base64.b64encode(b"\x1f\x8bpacked").decode()}
    assert found["data"] == {"note": "mine"}
    annotations = found["metadata"]["annotations"]  # type: ignore[index]
    assert annotations["x"] == "y"
    assert annotations["sluice.dev/captured-seen"] == "9"
    assert annotations["sluice.dev/captured-deployment"] == "iris"
    assert place(kube).look(), "there is a sample now"


def test_a_text_under_the_same_key_is_a_sample_and_makes_place(kube: FakeKube) -> None:
    make(kube, data={"r.jsonl.gz": "{}"})
    assert place(kube).look()
    place(kube).write(b"x", ABOUT)
    assert not stored(kube)["data"]


def test_one_that_is_not_there_is_made_and_made_again(kube: FakeKube) -> None:
    held = place(kube)
    assert not held.look()
    kube.client().delete(CONFIG_MAPS, "requests", "prod")
    held.write(b"x", ABOUT)
    assert stored(kube)["binaryData"]


def test_the_room_is_what_other_keys_leave_of_a_mebibyte(kube: FakeKube) -> None:
    held = place(kube)
    assert held.room() == 1 << 20
    texts = {"a": "ä" * 100, "r.jsonl.gz": "x" * 5000}
    make(kube, data=texts, binaryData={"b": base64.b64encode(bytes(300)).decode()})
    assert held.room() == (1 << 20) - 200 - 300


def test_looking_writes_nothing(kube: FakeKube) -> None:
    make(kube)
    before = stored(kube)
    place(kube).look()
    assert stored(kube) == before


@pytest.mark.parametrize(
    ("verb", "words"),
    [("get", "the verb get on configmaps is missing"), ("patch", "the verb patch on configmaps")],
)
def test_a_missing_right_is_named_before_anything_is_taken(
    kube: FakeKube, verb: str, words: str
) -> None:
    make(kube)
    kube.fail_next(verb, "configmaps", status=403, reason="Forbidden")
    with pytest.raises(ForbiddenError, match=words) as caught:
        place(kube).look()
    assert "resourceNames [requests]" in str(caught.value)
    assert is_lasting(caught.value)


def test_one_that_may_not_be_made_says_how_to_make_it(kube: FakeKube) -> None:
    kube.fail_next("create", "configmaps", status=403, reason="Forbidden")
    with pytest.raises(ForbiddenError, match="kubectl -n prod create configmap requests"):
        place(kube).look()


def test_one_that_cannot_be_changed_is_refused(kube: FakeKube) -> None:
    make(kube, immutable=True)
    with pytest.raises(UsageError, match="immutable"):
        place(kube).look()


def test_an_api_server_that_is_away_does_not_last(kube: FakeKube) -> None:
    kube.fail_next("get", "configmaps", status=0)
    with pytest.raises(ApiUnavailableError) as caught:
        place(kube).look()
    assert not is_lasting(caught.value)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    held = InFile(path)
    assert not held.look()
    assert held.zipped
    assert held.room() is None
    held.write(b"one", ABOUT)
    held.write(b"two", ABOUT)
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"
    assert held.look()
    assert not InFile(tmp_path / "r.jsonl").zipped


def test_a_file_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "r.jsonl"):
        with pytest.raises(UsageError, match="expected a file in a folder"):
            InFile(path).look()
    held = InFile(tmp_path / "gone" / "r.jsonl")
    with pytest.raises(UsageError, match="cannot be written"):
        held.write(b"x", ABOUT)
