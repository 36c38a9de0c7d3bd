"""The tools of containers, from Debian's packages, unpacked into one root in the cache.

`root()` makes it once (about 70 MB to fetch); `environment(root())` are the variables with which
its programs find each other and their libraries. Nothing is installed into the machine, and root
is not needed. Elsewhere than on Debian bookworm these tools have to come from the distribution:
`debian_archive.why_not` says whether that is so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from sluice.errors import SluiceError, ToolError
from sluice.sandbox import debian_lock, part_builds, parts
from sluice.sandbox.debian_archive import RELEASE, Archive
from sluice.sandbox.progress import Progress, Silent, screen

_COMPLETE = ".complete"
# iptables' alternatives, which only an installation would make.
_ALTERNATIVES = tuple(
    f"{family}tables{suffix}" for family in ("ip", "ip6") for suffix in ("", "-save", "-restore")
)


def root(progress: Progress | None = None) -> Path:
    """The directory that holds `usr/bin`, `usr/sbin`, `usr/lib`, ...; made now if it is missing.

    Raises ToolError where it cannot be made, saying what to do instead.
    """
    place = _place()
    if (place / _COMPLETE).is_file():
        return place
    progress = progress or Silent()
    with parts.building(progress):
        if not (place / _COMPLETE).is_file():
            _make(place, progress)
    return place


def _place() -> Path:
    lock = debian_lock.directory() / debian_lock.TOOLS.file
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    machine = f"{sys.platform}-{os.uname().machine}"
    return parts.cache_directory() / "parts" / f"debian-{RELEASE}-{machine}-{digest}"


def _make(place: Path, progress: Progress) -> None:
    packages = debian_lock.read(debian_lock.TOOLS)
    why = "containerd, runc, buildah, nftables, ... from Debian's packages"
    with (
        progress.step("unpack the tools of containers", why, 15) as step,
        part_builds.scratch(parts.cache_directory(), "debian") as out,
    ):
        lists, debs, unpacked = out / "apt", out / "debs", out / "root"
        for directory in (lists, debs, unpacked):
            directory.mkdir()
        step.detail("reading the archive's lists")
        archive = Archive(lists)
        step.detail(f"fetching {len(packages)} packages")
        for deb in archive.download(packages, debs, progress):
            step.detail(deb.name)
            _unpack(deb, unpacked)
        _link_alternatives(unpacked / "usr" / "sbin")
        (unpacked / _COMPLETE).touch()
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        unpacked.replace(place)


def _unpack(deb: Path, into: Path) -> None:
    answer = subprocess.run(
        ["dpkg-deb", "-x", str(deb), str(into)], capture_output=True, text=True, errors="replace"
    )
    if answer.returncode != 0:
        raise ToolError(f"{deb.name} could not be unpacked: {answer.stderr.strip()}")


def _link_alternatives(directory: Path) -> None:
    for name in _ALTERNATIVES:
        link = directory / name
        if not link.exists():
            link.symlink_to("xtables-nft-multi")


def environment(root: Path) -> dict[str, str]:
    """This process's variables, such that programs of `root` come first and find what they need."""
    triplet = _triplet(root)
    libraries = [root / "usr" / "lib" / triplet, root / "lib" / triplet]
    programs = [root / directory for directory in ("usr/sbin", "usr/bin", "sbin", "bin")]
    perl = [root / "usr" / "share" / "perl" / "5.36", root / "usr" / "lib" / triplet / "perl/5.36"]
    env = dict(os.environ)
    env["PATH"] = _before(programs, env.get("PATH", os.defpath))
    env["LD_LIBRARY_PATH"] = _before(libraries, env.get("LD_LIBRARY_PATH", ""))
    env["PERL5LIB"] = _before([root / "usr" / "share" / "perl5", *perl], env.get("PERL5LIB", ""))
    env["XTABLES_LIBDIR"] = str(libraries[0] / "xtables")
    return env


def cni_directory(root: Path) -> Path:
    """Where the CNI plugins are (`bin_dir` of containerd)."""
    return root / "usr" / "lib" / "cni"


def _triplet(root: Path) -> str:
    names = [path.name for path in (root / "usr" / "lib").glob("*-linux-gnu*")]
    if not names:
        raise ToolError(f"{root} holds no usr/lib/*-linux-gnu: remove it, it is made anew")
    return names[0]


def _before(paths: list[Path], rest: str) -> str:
    return os.pathsep.join([*map(str, paths), *([rest] if rest else [])])


def main() -> int:
    """Make the root, print where it is. Returns the exit code."""
    try:
        sys.stdout.write(f"{root(screen())}\n")
    except SluiceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
