"""A base image of our own, for machines without a registry: Debian's packages and its Python.

The packages are those of `requirements/debian-base.txt`, so the same lock gives the same image.
`mmdebstrap` installs them from a directory, not from a mirror, whose name would be in the image.
What only an installation leaves behind (lists, logs, host name) is taken out, and setuid bits too:
nothing in these images has to become root.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sluice.errors import ToolError
from sluice.packaging.oci import Layout
from sluice.sandbox import debian, debian_lock, part_builds
from sluice.sandbox.debian_archive import RELEASE, Archive, architecture, sha256_of
from sluice.sandbox.progress import Progress

PYTHON_NAME = "sluice.dev/base/python:3.11"
BUILD_NAME = "sluice.dev/base/python-build:3.11"
_LEFT_BEHIND = (
    "etc/apt",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/machine-id",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig",
    "var/lib/apt",
    "var/log",
    "dev",
    "usr/share/lintian",
    "usr/share/bash-completion",
    "usr/lib/python3.11/test",
)
_NO_DOCUMENTS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)
_KEPT_EMPTY = frozenset({"dev", "var/log"})


@dataclass(frozen=True)
class Base:
    """Digests of the manifests of both images, in a layout of their own."""

    layout: Layout
    python: str
    build: str


def recipe() -> str:
    """Everything the base depends on, as a hash."""
    locks = [debian_lock.directory() / lock.file for lock in _LOCKS]
    parts = [lock.read_bytes() for lock in locks] + [Path(__file__).read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


_LOCKS = (debian_lock.BASE, debian_lock.BASE_BUILD)


def make(directory: Path, epoch: int, progress: Progress) -> Base:
    """The base images, from `directory` (.../<recipe>-<epoch>), made now if missing.

    Raises ToolError if it cannot be made here. Call it while holding the lock of the images.
    """
    place = directory / f"{recipe()}-{epoch}"
    if not (place / "index.json").is_file():
        tools = debian.root(progress)
        with (
            progress.step("make the base image", "Debian's packages and Python", 35) as step,
            part_builds.scratch(directory, "base") as out,
        ):
            _make(out, tools, epoch, progress, step.detail)
            (out / "layout").replace(place)
    layout = Layout(place)
    digests = layout.digests()
    return Base(layout, digests[PYTHON_NAME], digests[BUILD_NAME])


def _make(
    out: Path, tools: Path, epoch: int, progress: Progress, detail: Callable[[str], None]
) -> None:
    for name in ("apt", "base", "extra"):
        (out / name).mkdir()
    detail("fetching packages")
    archive = Archive(out / "apt")
    debs = archive.download(debian_lock.read(debian_lock.BASE), out / "base", progress)
    extra = archive.download(debian_lock.read(debian_lock.BASE_BUILD), out / "extra", progress)
    _write_packages_file(out / "base", debs)
    detail("installing packages")
    _mmdebstrap(tools, out / "base", out / "raw.tar", epoch)
    detail("writing layers")
    _normalise(out / "raw.tar", out / "base.tar", epoch)
    _unpacked(extra, out / "extra.tar", epoch)
    layout = Layout(out / "layout")
    base = layout.add_layer(out / "base.tar")
    more = layout.add_layer(out / "extra.tar")
    layout.write_index(
        {
            PYTHON_NAME: _image(layout, [base], epoch),
            BUILD_NAME: _image(layout, [base, more], epoch),
        }
    )


def _write_packages_file(directory: Path, debs: Iterable[Path]) -> None:
    """The index of a flat repository, as apt reads it."""
    stanzas = []
    for deb in debs:
        fields = subprocess.run(
            ["dpkg-deb", "--field", str(deb)], capture_output=True, text=True, check=True
        ).stdout.rstrip("\n")
        stanzas.append(
            f"{fields}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\n"
            f"SHA256: {sha256_of(deb)}\n"
        )
    (directory / "Packages").write_text("\n".join(stanzas))


def _mmdebstrap(tools: Path, repository: Path, tar: Path, epoch: int) -> None:
    names = ",".join(package.name for package in debian_lock.read(debian_lock.BASE))
    hooks = tools / "usr" / "share" / "mmdebstrap" / "hooks" / "merged-usr"
    argv = ["mmdebstrap", "--variant=custom", f"--include={names}", "--format=tar"]
    argv += [f"--hook-dir={hooks}", *(f"--dpkgopt={option}" for option in _NO_DOCUMENTS)]
    if os.geteuid() == 0:
        argv.append("--mode=root")
    argv += [RELEASE, str(tar), f"deb [trusted=yes] copy://{repository} ./"]
    # Its own temporary directory, in which other users (apt's) may read: not below a home.
    with tempfile.TemporaryDirectory(prefix="sluice-base-") as temporary:
        Path(temporary).chmod(0o755)
        env = debian.environment(tools) | {
            "SOURCE_DATE_EPOCH": str(epoch),
            "TMPDIR": temporary,
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
        }
        answer = subprocess.run(
            argv,
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    if answer.returncode != 0:
        tail = "\n".join(f"  | {line}" for line in answer.stderr.strip().splitlines()[-12:])
        raise ToolError(f"the base image could not be made by mmdebstrap\n{tail}")


def _normalise(raw: Path, clean: Path, epoch: int) -> None:
    """Leave out what depends on the machine, and order the rest."""
    with (
        tarfile.open(raw) as source,
        tarfile.open(clean, "w", format=tarfile.PAX_FORMAT) as target,
    ):
        members = {member.name.removeprefix("./"): member for member in source}
        # A hard link comes after what it links to.
        for name in sorted(members, key=lambda name: (members[name].islnk(), name)):
            if name in ("", ".") or not _kept(name):
                continue
            member = members[name]
            content = source.extractfile(member) if member.isreg() else None
            target.addfile(_plain(member, name, epoch), content)


def _kept(name: str) -> bool:
    return name in _KEPT_EMPTY or not any(
        name == path or name.startswith(f"{path}/") for path in _LEFT_BEHIND
    )


def _plain(member: tarfile.TarInfo, name: str, epoch: int) -> tarfile.TarInfo:
    member.name = name
    if member.islnk():
        member.linkname = member.linkname.removeprefix("./")
    if not member.isdir():
        member.mode &= 0o777
    member.mtime = min(int(member.mtime), epoch)
    member.uname = member.gname = ""
    member.pax_headers = {}
    return member


def _unpacked(debs: Iterable[Path], tar: Path, epoch: int) -> None:
    """The files of packages, without their scripts: enough for the stage that builds."""
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as target:
        for deb in debs:
            data = subprocess.run(
                ["dpkg-deb", "--fsys-tarfile", str(deb)], capture_output=True, check=True
            ).stdout
            with tempfile.TemporaryFile() as held:
                held.write(data)
                held.seek(0)
                with tarfile.open(fileobj=held) as source:
                    for member in source:
                        name = member.name.removeprefix("./")
                        if name in ("", ".") or member.isdir():
                            continue
                        content = source.extractfile(member) if member.isreg() else None
                        target.addfile(_plain(member, name, epoch), content)


def _image(layout: Layout, layers: list[tuple[dict[str, object], str]], epoch: int) -> str:
    created = _timestamp(epoch)
    config = {
        "architecture": architecture(),
        "os": "linux",
        "created": created,
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["python3"]},
        "rootfs": {"type": "layers", "diff_ids": [plain for _, plain in layers]},
        "history": [{"created": created, "created_by": "sluice.packaging.base"} for _ in layers],
    }
    return layout.add_image(json.loads(json.dumps(config)), [layer for layer, _ in layers])


def _timestamp(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
