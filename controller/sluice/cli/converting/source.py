"""A foreign object that remembers what was taken of it, so that nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]

# Written by servers and tools, never meant by a person: not worth a line.
_NOT_MEANT = (
    ("apiVersion",),
    ("kind",),
    ("status",),
    ("metadata", "managedFields"),
    ("metadata", "resourceVersion"),
    ("metadata", "uid"),
    ("metadata", "generation"),
    ("metadata", "creationTimestamp"),
    ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"),
)
_SHOWN = 60


class Source:
    """`take` reads a value and ticks it off; `left` is what nobody has taken."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self._taken: set[Path] = set(_NOT_MEANT)

    def take(self, *path: str | int, default: Any = None) -> Any:
        """The value at `path`; it counts as dealt with, all below it included."""
        self._taken.add(path)
        return self.peek(*path, default=default)

    def peek(self, *path: str | int, default: Any = None) -> Any:
        """The value at `path`, without ticking it off."""
        found: Any = self.content
        for part in path:
            if isinstance(part, int):
                if not isinstance(found, list) or part >= len(found):
                    return default
                found = found[part]
            elif isinstance(found, Mapping) and part in found:
                found = found[part]
            else:
                return default
        return found

    def left(self) -> list[str]:
        """``spec.a[0].b: value`` of everything that was not taken."""
        return [f"{_written(path)}: {_short(value)}" for path, value in self._leaves((), None)]

    def _leaves(self, path: Path, _: None) -> Iterator[tuple[Path, Any]]:
        if path in self._taken:
            return
        value = self.peek(*path) if path else self.content
        if isinstance(value, Mapping) and value:
            for key in value:
                yield from self._leaves((*path, key), None)
        elif isinstance(value, list) and value:
            for index in range(len(value)):
                yield from self._leaves((*path, index), None)
        else:
            yield path, value


def _written(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
