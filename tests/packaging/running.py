"""Containers of images, as strict as a cluster may make them: read-only, no capabilities."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sluice.packaging.oci import Layout
from sluice.sandbox import debian

SHELLS = ("usr/bin/sh", "usr/bin/dash", "usr/bin/bash", "usr/bin/rbash")
_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["mode=1777"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
]


class Runner:
    """Unpacks each image once and runs commands in it with runc."""

    def __init__(self, layout: Path, directory: Path) -> None:
        self._layout = Layout(layout)
        self._directory = directory
        self._tools = debian.root()
        self._count = 0

    def config(self, name: str) -> Mapping[str, object]:
        """The image's `config`: user, entry point, variables, labels."""
        return self._layout.config(self._layout.digests()[name])["config"]

    def root(self, name: str) -> Path:
        """The image's files."""
        root = self._directory / self._layout.digests()[name].replace(":", "-")
        if not root.exists():
            for layer in self._layout.read(self._layout.digests()[name])["layers"]:
                with tarfile.open(self._layout.blob(layer["digest"])) as tar:
                    tar.extractall(root, filter="fully_trusted", numeric_owner=True)
        return root

    def run(
        self, name: str, argv: Sequence[str], *, shell: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` after the image's entry point as the image's user, until it ends.

        The root is read-only, there are no capabilities and no new privileges, and /tmp is empty.
        `shell=False` takes all shells away.
        """
        config = self.config(name)
        return self.run_command(name, [*(config["Entrypoint"] or ()), *argv], shell=shell)

    def run_command(
        self, name: str, argv: Sequence[str], *, shell: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """As `run`, without the entry point."""
        config = self.config(name)
        user, group = map(int, str(config["User"]).split(":"))
        self._count += 1
        bundle = self._directory / f"bundle-{self._count}"
        bundle.mkdir()
        mounts = list(_MOUNTS)
        if not shell:
            (bundle / "nothing").touch(mode=0o644)
            mounts += [
                {
                    "destination": f"/{path}",
                    "type": "bind",
                    "source": str(bundle / "nothing"),
                    "options": ["bind", "ro"],
                }
                for path in SHELLS
                if (self.root(name) / path).is_file() and not (self.root(name) / path).is_symlink()
            ]
        spec = {
            "ociVersion": "1.0.0",
            "process": {
                "user": {"uid": user, "gid": group},
                "args": list(argv),
                "env": config["Env"],
                "cwd": config.get("WorkingDir") or "/",
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.root(name)), "readonly": True},
            "mounts": mounts,
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]
            },
        }
        (bundle / "config.json").write_text(json.dumps(spec))
        runc = ["runc", f"--root={bundle / 'state'}"]
        container, env = f"sluice-test-{self._count}", debian.environment(self._tools)
        try:
            return subprocess.run(
                [*runc, "run", "--bundle", str(bundle), container],
                env=env,
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=900,
            )
        finally:
            subprocess.run([*runc, "delete", "--force", container], env=env, capture_output=True)

    def clean(self) -> None:
        """Remove everything unpacked: much, and owned by other users."""
        shutil.rmtree(self._directory, ignore_errors=True)
