"""Which Debian packages are pinned, and to what: `requirements/debian*.txt`.

A line is `name version architecture sha256`. `python -m sluice.sandbox.debian_lock` (or
`make lock-debian`) writes the files anew from what the archive has today.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sluice.errors import SluiceError, ToolError
from sluice.sandbox import part_builds
from sluice.sandbox.debian_archive import RELEASE, Archive, Package, architecture
from sluice.sandbox.progress import screen

# What gpgme depends on to check the signatures of images, which nothing here does.
_NEVER = frozenset(
    {
        "dirmngr",
        "gnupg",
        "gnupg-l10n",
        "gnupg-utils",
        "gpg",
        "gpg-agent",
        "gpg-wks-client",
        "gpg-wks-server",
        "gpgconf",
        "gpgsm",
        "libksba8",
        "libldap-2.5-0",
        "libnpth0",
        "libsasl2-2",
        "libsasl2-modules-db",
        "media-types",
        "pinentry-curses",
    }
)
# Chosen over usrmerge, which does for old systems what a new one is made with, and needs Perl.
_MERGED = "usr-is-merged"


@dataclass(frozen=True)
class Lock:
    """`wanted` and all they depend on, without what `present` depends on (None: leave out nothing).

    The packages in `present` are on the machine that uses the lock.
    """

    file: str
    about: str
    wanted: Sequence[str]
    present: Sequence[str] | None = None


TOOLS = Lock(
    "debian.txt",
    "Tools of containers, and the libraries they need: unpacked into the cache, never installed.",
    (
        "containerd",
        "runc",
        "crun",
        "containernetworking-plugins",
        "nftables",
        "iptables",
        "conntrack",
        "iproute2",
        "buildah",
        "skopeo",
        "docker-registry",
        "mmdebstrap",
    ),
    present=("apt", "login", "passwd", "python3-minimal"),
)
BASE = Lock(
    "debian-base.txt",
    "The base image of our own: Debian's essential packages and Python.",
    (_MERGED, "python3", "libstdc++6", "ca-certificates", "netbase", "tzdata"),
)
BASE_BUILD = Lock(
    "debian-base-build.txt",
    "What the stage that builds has beside the base image.",
    ("python3-venv",),
    present=BASE.wanted,
)
LOCKS = (TOOLS, BASE, BASE_BUILD)


def directory() -> Path:
    """Where the lock files are, in the checkout."""
    return part_builds.source_root() / "requirements"


def read(lock: Lock) -> list[Package]:
    """The pinned packages. On another architecture than the lock's, only the names are pinned."""
    path = directory() / lock.file
    packages = parse(path.read_text(), str(path))
    here = architecture()
    return [
        package if package.architecture in ("all", here) else Package(package.name, "", here)
        for package in packages
    ]


def parse(text: str, where: str) -> list[Package]:
    """Lines of a lock file. Raises ToolError for one that has not four words."""
    packages = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if len(words) != 4:
            raise ToolError(
                f"{where}:{number}: expected `name version architecture sha256`, found {line!r}: "
                "run `make lock-debian`"
            )
        packages.append(Package(*words))
    return packages


def render(lock: Lock, packages: Iterable[Package]) -> str:
    """The text of a lock file."""
    lines = [f"# {lock.about}", f"# Debian {RELEASE}; written by `make lock-debian`."]
    lines += [f"{p.name} {p.version} {p.architecture} {p.sha256}" for p in sorted(packages)]
    return "\n".join(lines) + "\n"


def resolve(lock: Lock, archive: Archive) -> Mapping[str, Package]:
    """What the lock should pin today."""
    essential = [*archive.essential(), _MERGED]
    names = archive.closure([*essential, *lock.wanted])
    if lock.present is not None:
        names -= archive.closure([*essential, *lock.present]) | _NEVER
    return archive.current(names)


def main() -> int:
    """Write all lock files. Returns the exit code."""
    progress = screen()
    try:
        with tempfile.TemporaryDirectory() as lists:
            with progress.step("read Debian's lists", about_seconds=5):
                archive = Archive(Path(lists))
            for lock in LOCKS:
                packages = resolve(lock, archive)
                (directory() / lock.file).write_text(render(lock, packages.values()))
                progress.note(f"requirements/{lock.file}: {len(packages)} packages")
    except SluiceError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
