"""A copy that is behind its API server can be waited for."""

from __future__ import annotations

import threading
from typing import Any

from sluice.resources import PODS
from sluice.sandbox.watching import Watched


class Listing:
    """A client whose list is always the same."""

    def __init__(self, *versions: str) -> None:
        self.items = [pod(f"pod-{n}", version) for n, version in enumerate(versions)]

    def list(self, resource: object) -> Listing:
        return self


def pod(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "prod", "name": name, "resourceVersion": version}}


def watched(*versions: str) -> Watched:
    return Watched(Listing(*versions), PODS, lambda key, obj: None)  # type: ignore[arg-type]


def put(copy: Watched, name: str, version: str) -> None:
    with copy._lock:
        copy._objects["prod", name] = pod(name, version)


def test_a_copy_that_is_behind_is_waited_for_until_its_watch_has_seen_the_newest() -> None:
    copy = watched("9", "12")
    put(copy, "pod-0", "10")  # newer than the list: as good
    put(copy, "pod-1", "9")  # as numbers 9 is before 12
    assert copy.catch_up(0) is False
    late = threading.Timer(0.05, put, (copy, "pod-1", "12"))
    late.start()
    assert copy.catch_up(30) is True
    late.join()


def test_an_object_that_is_not_known_at_all_is_missing() -> None:
    copy = watched("3")
    assert copy.catch_up(0) is False
    put(copy, "pod-0", "3")
    assert copy.catch_up(0) is True
