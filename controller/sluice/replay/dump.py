"""The file form of a recording: JSON lines, compressed if the name ends in .gz (docs/replay.md).

A head, one line a series with its value at each moment, and a line that closes the file, so that a
cut one is noticed. No address and no credentials are in it.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from sluice._version import __version__
from sluice.api.base import Model
from sluice.errors import UsageError
from sluice.metrics.dialects import DIALECTS, Labels, Target
from sluice.replay.reading import MOST_MOMENTS
from sluice.replay.recording import LEAD, Family, Recording, Series

FORMAT = "sluice-recording"
VERSION, WITH_ANSWERS = 1, 2
"""A recording with what models answer has the second: who reads the first alone would refuse it."""


class _Target(Model):
    namespace: str
    deployment: str
    predictor: str


class _Head(Model):
    format: Literal["sluice-recording"]
    version: int
    sluice: str = ""
    dialect: Literal["seldon", "istio", "envoy"]
    namespace_label: str
    pod_label: str
    start: float = Field(ge=0, le=1e11)
    step: float = Field(gt=0, le=1e6)
    moments: int = Field(gt=LEAD + 1, le=MOST_MOMENTS + LEAD)
    targets: list[_Target]


class _Line(Model):
    family: Family
    metric: dict[str, str]
    first: int = Field(ge=0)
    values: list[float | Literal["NaN", "+Inf", "-Inf"] | None]


def save(recording: Recording, path: Path) -> None:
    """Write the whole file or none. Raises UsageError when that cannot be done."""
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            # Without name and time inside, so the same recording is the same file.
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    packed.writelines(_lines(recording))
            else:
                file.writelines(_lines(recording))
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UsageError(
            f"--dump {path}: cannot be written ({error.strerror}): give a file in a folder that "
            "exists and is writable"
        ) from error


def _lines(recording: Recording) -> Iterator[bytes]:
    head = _Head(
        format="sluice-recording",
        version=WITH_ANSWERS if recording.has_answers else VERSION,
        sluice=__version__,
        dialect=recording.dialect_name,  # type: ignore[arg-type]
        namespace_label=recording.labels.namespace,
        pod_label=recording.labels.pod,
        start=recording.start,
        step=recording.step,
        moments=recording.moments,
        targets=[
            _Target(namespace=t.namespace, deployment=t.deployment, predictor=t.predictor)
            for t in recording.targets
        ],
    )
    yield _line(head.to_dict())
    number = 0
    for family in Family:
        for series in recording.series(family):
            where = np.flatnonzero(series.there)
            if not len(where):
                continue
            number += 1
            part = slice(int(where[0]), int(where[-1]) + 1)
            yield _line(
                {
                    "family": family.value,
                    "metric": dict(series.labels),
                    "first": part.start,
                    "values": [
                        _sample(value) if there else None
                        for value, there in zip(
                            series.values[part].tolist(), series.there[part].tolist(), strict=True
                        )
                    ],
                }
            )
    yield _line({"end": True, "series": number})


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), sort_keys=False).encode() + b"\n"


def _sample(value: float) -> float | int | str:
    """A number as JSON has it; what JSON has not, as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def load(path: Path) -> Recording:
    """Read a dump. Raises UsageError: what was expected, what was found, in which line."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            lines = gzip.GzipFile(fileobj=file) if packed else file
            return _read(path, enumerate(lines, start=1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _cut(path) from error
    except OSError as error:
        raise UsageError(
            f"--file {path}: cannot be read ({error.strerror or error}): give a file that "
            "`sluice replay --dump` has written"
        ) from error


def _read(path: Path, lines: Iterator[tuple[int, bytes]]) -> Recording:
    head = _head(path, next(lines, (1, b""))[1])
    families: dict[Family, list[Series]] = {}
    for where, text in lines:
        content = _json(path, where, text)
        if content.get("end") is True:
            if content.get("series") != where - 2:  # between the head and this line
                raise UsageError(
                    f"{path}, line {where}: the file says it has {content.get('series')} series, "
                    f"but {where - 2} were found: dump it again"
                )
            return _recording(head, families)
        line = _series(path, where, content)
        found = families.setdefault(line.family, [])
        found.append(_placed(path, where, line, head.moments))
    raise _cut(path)


def _series(path: Path, where: int, content: dict[str, Any]) -> _Line:
    try:
        return _Line.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][:2])
        raise UsageError(
            f"{path}, line {where}: expected a series of a recording: {field}: {first['msg']}"
        ) from error


def _placed(path: Path, where: int, line: _Line, moments: int) -> Series:
    series = Series.empty(line.metric, moments)
    part = slice(line.first, line.first + len(line.values))
    if part.stop > moments:
        raise UsageError(
            f"{path}, line {where}: values up to moment {part.stop:,}, but the head says there are "
            f"{moments:,}: dump it again"
        )
    series.values[part] = [math.nan if value is None else float(value) for value in line.values]
    series.there[part] = [value is not None for value in line.values]
    return series


def _head(path: Path, text: bytes) -> _Head:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UsageError(
            f"--file {path}: expected a recording written by `sluice replay --dump` (its first "
            f'line says "format": "{FORMAT}"), found {text[:60]!r}'
        )
    if content.get("version") not in (VERSION, WITH_ANSWERS):
        raise UsageError(
            f"--file {path}: its format has version {content.get('version')}, this sluice "
            f"({__version__}) reads versions {VERSION} and {WITH_ANSWERS}: replay it with the "
            f"sluice that wrote it ({content.get('sluice') or 'unknown'}), or dump it again"
        )
    try:
        return _Head.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"--file {path}, line 1: {field}: {first['msg']} (dialects: {', '.join(DIALECTS)})"
        ) from error


def _json(path: Path, where: int, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        if not text.endswith(b"\n"):
            raise _cut(path) from error
        raise UsageError(
            f"{path}, line {where}: expected JSON, found {text[:60]!r}: dump it again"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}, line {where}: expected a JSON object, found {text[:60]!r}")
    return content


def _cut(path: Path) -> UsageError:
    return UsageError(
        f"--file {path}: the file ends before its last line (was the dump or a copy interrupted? "
        f"It has {path.stat().st_size:,} bytes): dump or copy it again"
    )


def _recording(head: _Head, families: dict[Family, list[Series]]) -> Recording:
    return Recording(
        head.dialect,
        Labels(namespace=head.namespace_label, pod=head.pod_label),
        head.start,
        head.step,
        head.moments,
        tuple(Target(t.namespace, t.deployment, t.predictor) for t in head.targets),
        families,
    )
