"""RFC 6902 on plain dicts and lists, as far as the API server's answers depend on it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any


class PatchDoesNotFit(Exception):
    """A `test` did not hold, or a path does not exist."""


def apply_patch(document: Any, ops: Sequence[dict[str, Any]]) -> Any:
    """A patched copy of `document`. Raises PatchDoesNotFit; then nothing has changed."""
    document = copy.deepcopy(document)
    for op in ops:
        document = _apply(document, op)
    return document


def _apply(document: Any, op: dict[str, Any]) -> Any:
    kind, path = op["op"], _split(op["path"])
    if kind == "test":
        if _get(document, path) != op["value"]:
            raise PatchDoesNotFit(f"testing {op['path']}: test failed")
    elif kind == "add":
        return _put(document, path, copy.deepcopy(op["value"]), insert=True)
    elif kind == "replace":
        _get(document, path)
        return _put(document, path, copy.deepcopy(op["value"]), insert=False)
    elif kind == "remove":
        _take(document, path)
    elif kind == "copy":
        return _put(document, path, copy.deepcopy(_get(document, _split(op["from"]))), insert=True)
    elif kind == "move":
        return _put(document, path, _take(document, _split(op["from"])), insert=True)
    else:
        raise PatchDoesNotFit(f"unexpected operation {kind}")
    return document


def _split(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _index(items: list[Any], part: str, *, end: bool = False) -> int:
    if end and part == "-":
        return len(items)
    if not part.isdigit() or int(part) > len(items) - (0 if end else 1):
        raise PatchDoesNotFit(f"no index {part} in a list of {len(items)}")
    return int(part)


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, list):
            document = document[_index(document, part)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise PatchDoesNotFit(f"missing path: {part}")
    return document


def _put(document: Any, path: list[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        index = _index(parent, path[-1], end=insert)
        if insert:
            parent.insert(index, value)
        else:
            parent[index] = value
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise PatchDoesNotFit(f"nothing can be put at {path[-1]}")
    return document


def _take(document: Any, path: list[str]) -> Any:
    value = _get(document, path)
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(parent, path[-1])]
    else:
        del parent[path[-1]]
    return value


def apply_merge(target: Any, patch: Any) -> Any:
    """RFC 7396: a merged copy."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = apply_merge(merged.get(key), value)
    return merged
