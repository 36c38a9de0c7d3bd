"""Pushing a set to a registry as it is: the digests there are those in digests.json."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from sluice.errors import ToolError
from sluice.packaging.build import Built
from sluice.sandbox import debian
from sluice.sandbox.debian_archive import why_not
from sluice.sandbox.progress import Progress


def push(built: Built, progress: Progress) -> None:
    """Copy every image to the registry in its name, with the user's own logins.

    Raises ToolError for a name without a registry, and with the registry's answer for a refusal.
    """
    if bare := [name for name in built.digests if "." not in name.split("/")[0]]:
        raise ToolError(
            f"{bare[0]} names no registry to push to: give REGISTRY (--registry registry.example)"
        )
    program, env, options = _skopeo(progress)
    for name in sorted(built.digests):
        with progress.step(f"push {name}", "", 5):
            argv = [program, *options, "copy", "--preserve-digests"]
            answer = subprocess.run(
                [*argv, f"oci:{built.layout}:{name}", f"docker://{name}"],
                env=env,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
            )
            if answer.returncode != 0:
                raise ToolError(
                    f"{name} could not be pushed (log in with `skopeo login` or `podman login`)\n"
                    f"  | {answer.stderr.strip()[-600:]}"
                )


def _skopeo(progress: Progress) -> tuple[str, Mapping[str, str], tuple[str, ...]]:
    # Newer ones read the variable themselves; Debian bookworm's 1.9 has the option alone.
    own = os.environ.get("CONTAINERS_REGISTRIES_CONF")
    registries = ("--registries-conf", own) if own else ()
    if program := shutil.which("skopeo"):
        return program, dict(os.environ), registries
    if reason := why_not():
        raise ToolError(
            f"pushing without changing a digest needs skopeo: install it ({reason}, so that "
            "Debian's cannot be fetched)"
        )
    root = debian.root(progress)
    policy = root / "etc" / "containers" / "policy.json"
    return "skopeo", debian.environment(root), ("--policy", str(policy), *registries)
