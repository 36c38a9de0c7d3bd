"""The programs that build images: buildah, podman or docker, all from the same Containerfiles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice.errors import ToolError, UsageError
from sluice.packaging.oci import Layout, unpack_archive
from sluice.sandbox import debian, part_builds
from sluice.sandbox.debian_archive import why_not
from sluice.sandbox.progress import Progress, Step

NAMES = ("auto", "buildah", "podman", "docker", "debian")


@dataclass(frozen=True)
class Build:
    """One build, from a staged context in which times and modes do not matter any more."""

    reference: str
    context: Path
    containerfile: str
    args: Mapping[str, str]
    labels: Mapping[str, str]
    secrets: Mapping[str, Path]
    volumes: Sequence[Path]
    epoch: int


@dataclass(frozen=True)
class Builder:
    """A program, how it is called, and the variables it runs with."""

    kind: str
    argv: tuple[str, ...]
    options: tuple[str, ...]
    env: Mapping[str, str]
    policy: tuple[str, ...] = ()

    def load(self, reference: str, archive: Path) -> None:
        """Make an image of an OCI archive known to the builder, under the name inside it."""
        if self.kind == "buildah":
            self._run(["pull", "-q", *self.policy, f"oci-archive:{archive}"], reference)
        else:
            self._run(["load", "-q", "-i", str(archive)], reference)

    def build(self, build: Build, log: Path, step: Step) -> None:
        """Build one image under its reference. Raises ToolError with the end of the log."""
        argv = [*self.argv, "bud" if self.kind == "buildah" else "build", *self.policy]
        argv += self.options
        argv += ["-f", build.containerfile, "-t", build.reference, "--network=host"]
        for name, value in sorted(build.args.items()):
            argv += ["--build-arg", f"{name}={value}"]
        for name, value in sorted(build.labels.items()):
            argv += ["--label", f"{name}={value}"]
        for name, path in sorted(build.secrets.items()):
            argv += ["--secret", f"id={name},src={path}"]
        env = dict(self.env)
        if self.kind == "docker":
            argv += ["--build-arg", f"SOURCE_DATE_EPOCH={build.epoch}", "--provenance=false"]
            env["DOCKER_BUILDKIT"] = "1"
        else:
            argv += ["--layers", "--format=oci", "--identity-label=false"]
            argv += [f"--timestamp={build.epoch}"]
            for path in build.volumes:
                argv += ["--volume", f"{path}:{path}:ro"]
        part_builds.run_logged(
            [*argv, "."], what=build.reference, cwd=build.context, env=env, log=log, step=step
        )

    def export(self, reference: str, into: Layout, scratch: Path) -> str:
        """Copy a built image into a layout; returns the digest of its manifest."""
        if self.kind == "docker":
            return self._save(reference, into, scratch)
        target = scratch / "digest"
        # Compressed later, in one way for all builders; podman has no such option.
        plain = ("--disable-compression",) if self.kind == "buildah" else ()
        push = ["push", "-q", *self.policy, *plain, "--format=oci", f"--digestfile={target}"]
        self._run([*push, reference, f"oci:{into.path}:export"], reference)
        return target.read_text().strip()

    def _save(self, reference: str, into: Layout, scratch: Path) -> str:
        self._run(["save", "-o", str(scratch / "saved.tar"), reference], reference)
        saved = unpack_archive(scratch / "saved.tar", scratch / "saved")
        if not (saved.path / "index.json").is_file():
            raise ToolError(
                f"`docker save {reference}` wrote no OCI layout: Docker 25 or newer is needed, or "
                "buildah, or podman"
            )
        (digest,) = set(saved.digests().values())
        into.take(digest, saved)
        return digest

    def digest_of(self, reference: str) -> str:
        """The digest of a registry's image, fetched if need be; "" if the builder knows none."""
        self._run(["pull", "-q", *self.policy, reference], reference)
        if self.kind == "buildah":
            answer = self._run(["inspect", "--type=image", reference], reference)
            return str(json.loads(answer).get("FromImageDigest", ""))
        answer = self._run(["image", "inspect", reference], reference)
        digests = [each.rpartition("@")[2] for each in json.loads(answer)[0].get("RepoDigests", [])]
        return str(digests[0]) if digests else ""

    def _run(self, argv: Sequence[str], reference: str) -> str:
        answer = subprocess.run(
            [*self.argv, *argv],
            env=self.env,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
        if answer.returncode != 0:
            tail = "\n".join(f"  | {line}" for line in answer.stderr.strip().splitlines()[-6:])
            raise ToolError(f"`{self.kind} {argv[0]}` failed for {reference}\n{tail}")
        return answer.stdout


def choose(wanted: str, store: Path, progress: Progress) -> Builder:
    """The builder that is asked for. `auto`: the first on the PATH that works, else Debian's.

    `store` is where images are kept between builds. Raises ToolError where there is none.
    """
    if wanted not in NAMES:
        raise UsageError(f"expected a builder of {', '.join(NAMES)}, found {wanted!r}")
    if wanted == "debian":
        return _from_debian(store, progress)
    if wanted != "auto":
        found = _from_path(wanted, store)
        if found is None:
            raise ToolError(f"there is no working {wanted} on the PATH: `{wanted} info` fails")
        return found
    for kind in ("buildah", "podman", "docker"):
        if found := _from_path(kind, store):
            return found
    if reason := why_not():
        raise ToolError(
            "building images needs buildah, podman or docker, and none that works is on the PATH "
            f"(Debian's buildah cannot be fetched either: {reason}): install one of them"
        )
    return _from_debian(store, progress)


def _from_path(kind: str, store: Path) -> Builder | None:
    program = shutil.which(kind)
    if program is None:
        return None
    probe = subprocess.run([program, "info"], capture_output=True, stdin=subprocess.DEVNULL)
    if probe.returncode != 0:
        return None
    if kind == "docker":
        return Builder(kind, (program,), (), dict(os.environ))
    return Builder(kind, (program, *_storage(store, kind)), (), dict(os.environ))


def _storage(store: Path, kind: str) -> tuple[str, ...]:
    roots = (f"--root={store / kind}", f"--runroot={store / (kind + '-run')}")
    # Without user namespaces root mounts overlays itself; others have what their system gives.
    return (*roots, "--storage-driver=overlay") if os.geteuid() == 0 else roots


def _from_debian(store: Path, progress: Progress) -> Builder:
    root = debian.root(progress)
    # runc, because buildah's own way (chroot) starts itself again without the variables.
    return Builder(
        "buildah",
        ("buildah", *_storage(store, "debian")),
        ("--isolation=oci", "--runtime=runc"),
        debian.environment(root),
        (f"--signature-policy={root / 'etc' / 'containers' / 'policy.json'}",),
    )
