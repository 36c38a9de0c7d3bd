"""What goes into a build: exactly the files that an image is made of, without a checkout's traces.

A staged context has plain modes and no caches of Python, so it is the same for every checkout of
the same revision; its hash is part of the key under which a built image is kept.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sluice.errors import ToolError
from sluice.packaging.image_list import IMAGES, Image

_NEVER = frozenset({"__pycache__", ".DS_Store"})


def files(root: Path, sources: Iterable[str]) -> Iterator[Path]:
    """The files below `sources`, relative to `root`, in order; ToolError for a missing source."""
    for source in sorted(sources):
        path = root / source
        if path.is_file():
            yield Path(source)
        elif path.is_dir():
            for each in sorted(path.rglob("*")):
                relative = each.relative_to(root)
                if each.is_file() and not _NEVER.intersection(relative.parts):
                    yield relative
        else:
            raise ToolError(f"expected {source} in {root}, which an image is made of")


def hash_of(root: Path, image: Image) -> str:
    """A hash of the Containerfile and all the files the image itself is made of."""
    digest = hashlib.sha256()
    for relative in files(root, (image.containerfile, *image.sources)):
        content = hashlib.sha256((root / relative).read_bytes()).hexdigest()
        digest.update(f"{relative}\0{_mode(root / relative):o}\0{content}\n".encode())
    return digest.hexdigest()


def stage(root: Path, image: Image, into: Path) -> None:
    """Copy what `image` is made of into the empty directory `into`."""
    for relative in files(root, (image.containerfile, *image.sources)):
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / relative, target)
        target.chmod(_mode(root / relative))
    for directory in into.rglob("*/"):
        directory.chmod(0o755)


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def revision(root: Path, image: Image) -> str:
    """The last commit that touched the image or what it stands on; "" outside a git checkout.

    A commit elsewhere thus leaves the image as it is. `-dirty` says that files differ from it.
    """
    paths = sorted(_all_sources(image))
    commit = _git(root, "log", "-1", "--format=%H", "--", *paths)
    if not commit:
        return ""
    return commit + ("-dirty" if _git(root, "status", "--porcelain", "--", *paths) else "")


def _all_sources(image: Image) -> set[str]:
    own = {image.containerfile, *image.sources}
    return own.union(*(_all_sources(IMAGES[parent]) for parent in image.parents.values()))


def revision_of_folder(folder: Path) -> str:
    """The last commit that touched it, as in `revision`; "" outside a git checkout."""
    commit = _git(folder, "log", "-1", "--format=%H", "--", ".")
    changed = _git(folder, "status", "--porcelain", "--", ".")
    return commit + ("-dirty" if commit and changed else "")


def origin(root: Path) -> str:
    """Where the checkout was cloned from, without credentials; "" if that is not known."""
    remote = _git(root, "remote", "get-url", "origin")
    remote = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", remote)
    remote = re.sub(r"^(https?://)[^/@]+@", r"\1", remote)
    return remote.removesuffix(".git") if remote.startswith(("https://", "http://")) else ""


def _git(root: Path, *argv: str) -> str:
    command: Sequence[str] = ("git", "-C", str(root), *argv)
    try:
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
