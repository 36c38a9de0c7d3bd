"""Compares two texts in the Prometheus format: which series there are, and what they count."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import Difference

_LINE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Differ from run to run, or belong to the runtime the recording was made with.
_LABELS_LEFT_OUT = {"worker_id"}
_DURATION = re.compile(r"_executor_.*_sum$")

Labels = frozenset[tuple[str, str]]


@dataclass
class Exposition:
    """The series of a text whose names start with one of some prefixes, and its TYPE lines."""

    series: dict[tuple[str, Labels], float] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    helps: Counter[str] = field(default_factory=Counter)

    def without_details(self) -> Exposition:
        """As a recording that keeps sums and counts only."""
        kept = {
            key: value
            for key, value in self.series.items()
            if not key[0].endswith("_bucket") and "quantile" not in dict(key[1])
        }
        return Exposition(kept, self.types, self.helps)

    @property
    def detailed(self) -> bool:
        return any(name.endswith("_bucket") for name, _ in self.series)


def parse(text: str, prefixes: tuple[str, ...]) -> Exposition:
    """Reads a text. Raises ValueError for a line that is neither a comment nor a sample."""
    found = Exposition()
    for line in text.splitlines():
        if line.startswith("#"):
            _, kind, name, *rest = line.split(" ", 3)
            if name.startswith(prefixes):
                target = found.types if kind == "TYPE" else found.helps
                target[f"{name} {' '.join(rest)}".strip()] += 1
            continue
        match = _LINE.match(line)
        if match is None:
            if not line.strip():
                continue
            raise ValueError(f"expected a sample, found {line!r}")
        if not match["name"].startswith(prefixes):
            continue
        labels = frozenset(
            (name, value)
            for name, value in _LABEL.findall(match["labels"] or "")
            if name not in _LABELS_LEFT_OUT
        )
        found.series[match["name"], labels] = float(match["value"])
    return found


def differences(recording: str, recorded: Exposition, found: Exposition) -> Iterator[Difference]:
    """Series missing or too many, counts that differ, and buckets that cannot be."""
    if not recorded.detailed:
        found = found.without_details()
    for key in sorted(recorded.series.keys() | found.series.keys(), key=_sort_key):
        want, have = recorded.series.get(key), found.series.get(key)
        if want is None or have is None or not _agree(key, want, have):
            yield Difference(recording, -1, _written(key), _text(want), _text(have))
    for what, wanted, had in (
        ("TYPE", recorded.types, found.types),
        ("HELP", recorded.helps, found.helps),
    ):
        for line in sorted(wanted.keys() | had.keys()):
            if wanted[line] != had[line]:
                times = f"{wanted[line]} times", f"{had[line]} times"
                yield Difference(recording, -1, f"{what} {line}", *times)
    yield from _impossible(recording, found)


def _agree(key: tuple[str, Labels], want: float, have: float) -> bool:
    name, labels = key
    if "_executor_" in name:
        if "quantile" in dict(labels):
            return math.isnan(have) or have > 0
        if _DURATION.search(name):
            return (have > 0) == (want > 0)
        if name.endswith("_bucket"):
            return True  # durations; `_impossible` looks at them
    return math.isclose(want, have, rel_tol=1e-9)


def _impossible(recording: str, found: Exposition) -> Iterator[Difference]:
    """Buckets must rise, and the last must be the count."""
    ladders: dict[tuple[str, Labels], list[tuple[float, float]]] = {}
    for (name, labels), value in found.series.items():
        if name.endswith("_bucket"):
            edge = float(dict(labels)["le"])
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            ladders.setdefault((name.removesuffix("_bucket"), rest), []).append((edge, value))
    for (name, labels), steps in ladders.items():
        values = [value for _, value in sorted(steps)]
        count = found.series.get((f"{name}_count", labels))
        if values != sorted(values) or values[-1] != count:
            yield Difference(
                recording, -1, _written((name, labels)), f"rising to {count}", str(values)
            )


def _sort_key(key: tuple[str, Labels]) -> tuple[str, list[tuple[str, str]]]:
    return key[0], sorted(key[1])


def _written(key: tuple[str, Labels]) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(key[1]))
    return f"{key[0]}{{{labels}}}"


def _text(value: float | None) -> str:
    return "no such series" if value is None else f"{value:g}"
