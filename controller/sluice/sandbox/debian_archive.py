"""Debian's archive, asked through the machine's own apt: signatures checked, nothing installed.

The lists of packages are kept in a directory of ours (`Dir::State::lists`), so neither root nor an
`apt-get update` of the machine is needed, and the machine's apt is left as it is. Which mirror is
asked, by which proxy and with which keys, is the machine's configuration.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice.errors import ToolError
from sluice.sandbox.progress import Progress

RELEASE = "bookworm"
_NEEDED = ("apt-get", "apt-cache", "dpkg", "dpkg-deb")


@dataclass(frozen=True, order=True)
class Package:
    """A binary package of one architecture. `sha256` is that of its .deb, "" if not yet known."""

    name: str
    version: str
    architecture: str
    sha256: str = ""


def why_not() -> str:
    """Why packages cannot be had from Debian's archive here; "" if they can."""
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        return f"this machine has no {', '.join(missing)}"
    release = _release()
    return "" if release == RELEASE else f"this machine is {release or 'not Debian'}"


def _release() -> str:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return ""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return values.get("VERSION_CODENAME", "").strip('"') if values.get("ID") == "debian" else ""


def architecture() -> str:
    """Debian's name of this machine's architecture: `amd64`, `arm64`."""
    return _output(["dpkg", "--print-architecture"]).strip()


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Archive:
    """The archive as it is now. `lists` is an existing directory for what apt keeps.

    Raises ToolError where this machine is not Debian bookworm or the archive does not answer.
    """

    def __init__(self, lists: Path) -> None:
        if reason := why_not():
            raise ToolError(
                f"expected Debian {RELEASE} with apt, but {reason}: run this on Debian {RELEASE}, "
                "or install the tools that are asked for from your distribution"
            )
        for sub in ("lists/partial", "cache/archives/partial"):
            (lists / sub).mkdir(parents=True, exist_ok=True)
        self._options = [
            f"-oDir::State::lists={lists / 'lists'}",
            f"-oDir::Cache={lists / 'cache'}",
            "-oAPT::Sandbox::User=",
            "-oAcquire::Languages=none",
            "-oAcquire::Retries=3",
        ]
        self._update()

    def _update(self) -> None:
        answer = _run(["apt-get", *self._options, "-q", "update"])
        # Another source of the machine may be broken; only Debian's is of interest.
        if not _run(["apt-cache", *self._options, "madison", "coreutils"]).stdout.strip():
            raise ToolError(
                f"Debian's archive gave no list of {RELEASE}'s packages: see that `apt-get update` "
                f"works on this machine\n{_tail(answer)}"
            )

    def closure(self, names: Sequence[str]) -> set[str]:
        """The names of these packages and of all they depend on, as on an empty machine."""
        answer = _output(
            [
                "apt-get",
                *self._options,
                "-oDir::State::status=/dev/null",
                "--no-install-recommends",
                "--simulate",
                "install",
                *names,
            ]
        )
        return set(re.findall(r"^Inst (\S+)", answer, re.MULTILINE))

    def current(self, names: Iterable[str]) -> dict[str, Package]:
        """What the archive would install of each package today, with its hash."""
        wanted = sorted(set(names))
        text = _output(["apt-cache", *self._options, "show", "--no-all-versions", *wanted])
        found = {}
        for stanza in text.split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.MULTILINE))
            if fields:
                found[fields["Package"]] = Package(
                    fields["Package"], fields["Version"], fields["Architecture"], fields["SHA256"]
                )
        if absent := [name for name in wanted if name not in found]:
            raise ToolError(f"Debian {RELEASE} has no package {', '.join(absent)}")
        return found

    def essential(self) -> list[str]:
        """The packages every Debian system has."""
        text = _output(["apt-cache", *self._options, "dumpavail"])
        return sorted(
            match[1]
            for stanza in text.split("\n\n")
            if "\nEssential: yes" in stanza and (match := re.search(r"Package: (\S+)", stanza))
        )

    def download(self, packages: Sequence[Package], into: Path, progress: Progress) -> list[Path]:
        """The .deb files of `packages`, in their order, with their hashes checked.

        Security updates replace versions in the archive: where a pinned one is gone, the current
        one is taken, which the archive's signature vouches for, and a line says so.
        """
        served = self._served([package.name for package in packages])
        chosen = {}
        for package in packages:
            versions = served.get(package.name, [])
            if not versions:
                raise ToolError(f"Debian {RELEASE} has no package {package.name}")
            if package.version in versions:
                chosen[package.name] = package.version
            else:
                chosen[package.name] = versions[0]
                progress.note(
                    f"{package.name}: the archive has no {package.version} any more; taking "
                    f"{versions[0]}, which it signs (`make lock-debian` pins it)"
                )
        wanted = [f"{name}={version}" for name, version in sorted(chosen.items())]
        answer = _run(["apt-get", *self._options, "-q", "download", *wanted], cwd=into)
        if answer.returncode != 0:
            raise ToolError(f"packages could not be fetched from Debian's archive\n{_tail(answer)}")
        return [self._checked(package, chosen, into) for package in packages]

    def _served(self, names: Sequence[str]) -> Mapping[str, list[str]]:
        """The versions the archive has of each package, newest first."""
        versions: dict[str, list[str]] = {}
        for line in _output(["apt-cache", *self._options, "madison", *names]).splitlines():
            name, version, source = (part.strip() for part in line.split("|"))
            if source.endswith("Packages") and version not in versions.setdefault(name, []):
                versions[name].append(version)
        return versions

    def _checked(self, package: Package, chosen: Mapping[str, str], into: Path) -> Path:
        version = chosen[package.name]
        name = f"{package.name}_{version.replace(':', '%3a')}_{package.architecture}.deb"
        path = into / name
        if not path.is_file():
            raise ToolError(f"apt-get download left no {name} in {into}")
        pinned = version == package.version and package.sha256
        if pinned and (found := sha256_of(path)) != package.sha256:
            raise ToolError(
                f"{name}: expected sha256 {package.sha256}, found {found}: the mirror of this "
                "machine serves something else under this version"
            )
        return path


def _run(argv: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
    )


def _output(argv: Sequence[str]) -> str:
    answer = _run(argv)
    if answer.returncode != 0:
        raise ToolError(f"`{argv[0]}` failed\n{_tail(answer)}")
    return answer.stdout


def _tail(answer: subprocess.CompletedProcess[str]) -> str:
    lines = (answer.stdout + answer.stderr).strip().splitlines()[-6:]
    return "\n".join(f"  | {line}" for line in lines)
