"""The real parts: found on this machine, else in the cache, else built or installed once.

`python -m sluice.sandbox.parts [TIER...]` makes those of the given tiers (`sandbox` by itself;
`packaging`, `cluster`) and prints where each is. The cache is
`$SLUICE_CACHE`, else `$XDG_CACHE_HOME/sluice`, else `~/.cache/sluice`; its entries are keyed by
part, version, platform and a hash of the files that pin it, so a change of those builds anew.
Building needs a source checkout (`tools/` and `requirements/` are not part of the wheel).
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sluice.errors import SluiceError, ToolError, UsageError
from sluice.sandbox import part_builds
from sluice.sandbox.part_list import (
    GO_DISTRIBUTION,
    GO_MEMBER,
    GO_MINIMUM,
    PARTS,
    TIERS,
    GoFile,
    GoSource,
    Part,
    WheelSource,
)
from sluice.sandbox.progress import Progress, Silent, screen

# What its pinned packages have wheels for.
SELDON_PYTHONS = ((3, 11), (3, 12))
_VERSION = re.compile(r"\b(?:v|go)?(\d+)\.(\d+)(?:\.\d+)?")


def cache_directory() -> Path:
    """Where made parts are kept."""
    if explicit := os.environ.get("SLUICE_CACHE"):
        return Path(explicit).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "sluice"


@cache
def found_version(binary: Path, version_args: tuple[str, ...]) -> tuple[int, int] | None:
    """(major, minor) as the binary itself says, None if it does not run or says none."""
    try:
        answer = subprocess.run(
            [str(binary), *version_args],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stdout + answer.stderr) if answer.returncode == 0 else None
    return (int(match[1]), int(match[2])) if match else None


def on_this_machine(part: Part) -> Path | None:
    """The user's own binary, if it is new enough: $KUBEBUILDER_ASSETS first, then the PATH."""
    if part.minimum is None:
        return None
    for directory in (os.environ.get("KUBEBUILDER_ASSETS"), None):
        found = shutil.which(part.name, path=directory)
        if found is None:
            continue
        path = Path(found).absolute()
        version = found_version(path, part.version_args)
        if version is not None and version >= part.minimum:
            return path
    return None


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def _platform() -> str:
    return f"{sys.platform}-{platform.machine()}"


def _tools_lock() -> str:
    return (part_builds.source_root() / "requirements" / "tools.txt").read_text()


def _cache_entry(part: Part) -> Path:
    """The directory that holds the made part; it exists only when complete."""
    source = part.source
    if isinstance(source, GoSource):
        module = part_builds.source_root() / "tools" / source.module
        pins = [(module / name).read_text() for name in ("go.mod", "go.sum")]
        own = [path.read_text() for path in sorted(module.glob("*.go"))]
        digest = _digest(*pins, *own, source.package, source.tags, source.ldflags)
    elif isinstance(source, GoFile):
        module = part_builds.source_root() / "tools" / source.module
        digest = _digest((module / "go.sum").read_text(), source.dependency, source.member)
    else:
        digest = _digest(part_builds.requirement_block(_tools_lock(), source.distribution))
    return cache_directory() / "parts" / f"{part.name}-{part.version}-{_platform()}-{digest}"


def _binary(part: Part, entry: Path) -> Path:
    return entry / (part.source.member if isinstance(part.source, WheelSource) else part.name)


def _find(part: Part) -> Path | None:
    if own := on_this_machine(part):
        return own
    binary = _binary(part, _cache_entry(part))
    return binary if binary.is_file() else None


def locate(name: str) -> Path:
    """The path of a part that is there. Raises ToolError if it has to be made first."""
    part = PARTS[name]
    found = _find(part)
    if found is None:
        wanted = f" (>= {part.minimum[0]}.{part.minimum[1]})" if part.minimum else ""
        raise ToolError(
            f"{name} is neither on this machine{wanted} nor in {cache_directory()}: "
            f"run `make parts TIERS={part.tier}`, or `python -m sluice.sandbox.parts {part.tier}`"
        )
    return found


def ensure(name: str, progress: Progress | None = None) -> Path:
    """The path of a part, made now if it is missing. Raises ToolError if that is not possible."""
    part = PARTS[name]
    if found := _find(part):
        return found
    progress = progress or Silent()
    with building(progress):
        entry = _cache_entry(part)
        if not _binary(part, entry).is_file():  # another process may have made it meanwhile
            _make(part, entry, progress)
    return _binary(part, entry)


def ensure_all(
    progress: Progress | None = None, tiers: Sequence[str] = ("sandbox",)
) -> dict[str, Path]:
    """The tiers' parts by name, those missing made one after another.

    With the sandbox's comes `seldon`, an environment.
    """
    progress = progress or Silent()
    paths = {name: ensure(name, progress) for name, part in PARTS.items() if part.tier in tiers}
    if "sandbox" in tiers:
        paths["seldon"] = seldon_env(progress)
    shutil.rmtree(_fetched_go_caches(), ignore_errors=True)  # gigabytes nobody needs any more
    return paths


@contextmanager
def building(progress: Progress) -> Iterator[None]:
    """Hold the cache for a build. Raises ToolError where none is possible (system, disk)."""
    if not sys.platform.startswith("linux"):
        raise ToolError(
            f"the sandbox needs Linux (process groups, 127.0.0.0/8), not {sys.platform}"
        )
    directory = cache_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"{directory} cannot be made ({error}): set SLUICE_CACHE") from error
    with part_builds.exclusive(directory / "build.lock", progress):
        part_builds.remove_abandoned(directory)
        part_builds.check_disk(directory)
        yield


def _log(name: str) -> Path:
    return cache_directory() / "logs" / f"{name}.log"


def _make(part: Part, entry: Path, progress: Progress) -> None:
    go = None if isinstance(part.source, WheelSource) else _go(progress)
    verb = "build" if go else "install"
    with (
        progress.step(f"{verb} {part.name} {part.version}", part.purpose, part.seconds) as step,
        part_builds.scratch(cache_directory(), part.name) as out,
    ):
        entry.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(part.source, WheelSource):
            block = part_builds.requirement_block(_tools_lock(), part.source.distribution)
            whole = part_builds.install_wheel(
                part.source, block=block, out=out, log=_log(part.name), step=step
            )
        else:
            assert go is not None
            own = None if go == _go_on_path() else _fetched_go_caches()
            whole = out / "built"
            whole.mkdir()
            log = _log(part.name)
            if isinstance(part.source, GoFile):
                part_builds.copy_go_file(part.source, go=go, own=own, out=whole, log=log, step=step)
            else:
                part_builds.build_go(part.source, go=go, own=own, out=whole, log=log, step=step)
        shutil.rmtree(entry, ignore_errors=True)
        whole.replace(entry)


def _go_on_path() -> Path | None:
    found = shutil.which("go")
    if found is None:
        return None
    version = found_version(Path(found), ("version",))
    return Path(found) if version is not None and version >= GO_MINIMUM else None


def _fetched_go_caches() -> Path:
    return cache_directory() / "go"


def _go(progress: Progress) -> Path:
    """Go from the PATH if new enough, else from its wheel. The build lock is held."""
    if own := _go_on_path():
        return own
    block = part_builds.requirement_block(_tools_lock(), GO_DISTRIBUTION)
    entry = cache_directory() / "parts" / f"go-{_platform()}-{_digest(block)}"
    if not (entry / GO_MEMBER).is_file():
        wanted = ".".join(map(str, GO_MINIMUM))
        with (
            progress.step("install Go", f"the PATH has none >= {wanted}", 20) as step,
            part_builds.scratch(cache_directory(), "go") as out,
        ):
            entry.parent.mkdir(parents=True, exist_ok=True)
            source = WheelSource(GO_DISTRIBUTION, GO_MEMBER)
            part_builds.install_wheel(
                source, block=block, out=out, log=_log("go"), step=step
            ).replace(entry)
    return entry / GO_MEMBER


def seldon_env(progress: Progress | None = None) -> Path:
    """The model servers' own Python environment (`<env>/bin/python`), made now if missing."""
    lock = part_builds.source_root() / "requirements" / "seldon.txt"
    python = _python_for_seldon()
    digest = _digest(lock.read_text(), python)
    place = cache_directory() / "parts" / f"seldon-{_platform()}-{digest}"
    if (place / ".complete").is_file():
        return place
    progress = progress or Silent()
    with building(progress):
        if not (place / ".complete").is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            with progress.step("install seldon-core", "the model servers", 40) as step:
                part_builds.build_environment(
                    lock, python=python, place=place, log=_log("seldon"), step=step
                )
    return place


def _python_for_seldon() -> str:
    if sys.version_info[:2] in SELDON_PYTHONS:
        # The base interpreter, so that every virtual environment of it shares one cache entry.
        return str(getattr(sys, "_base_executable", "") or sys.executable)
    for version in SELDON_PYTHONS:
        found = shutil.which("python{}.{}".format(*version))
        if found and found_version(Path(found), ("--version",)) == version:
            return found
    raise ToolError(
        "the model servers (seldon-core 1.17.1) need Python 3.11 or 3.12, and this is "
        f"{platform.python_version()} with neither python3.11 nor python3.12 on the PATH: install "
        "one of them beside it"
    )


def _table(paths: dict[str, Path]) -> Table:
    table = Table("part", "from")
    table.add_column("path", overflow="fold")
    for name, path in paths.items():
        origin = "cache" if path.is_relative_to(cache_directory()) else "this machine"
        table.add_row(name, origin, str(path))
    return table


def main() -> int:
    """Make the parts of the tiers on the command line, print a table. Returns the exit code."""
    progress = screen()
    tiers = sys.argv[1:] or ["sandbox"]
    try:
        if unknown := sorted(set(tiers) - set(TIERS)):
            raise UsageError(f"expected tiers of {', '.join(TIERS)}, found {', '.join(unknown)}")
        paths = ensure_all(progress, tiers)
    except SluiceError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return error.exit_code
    except KeyboardInterrupt:
        progress.note("stopped: nothing half-made was left behind; the next run goes on from here")
        return 130
    Console(width=None).print(_table(paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())
