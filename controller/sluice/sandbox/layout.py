"""Where a sandbox keeps what: one directory, `.sandbox/<name>`, removed by nothing but its user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sluice.errors import UsageError

DEFAULT_NAME = "default"
_NAME = re.compile(r"[A-Za-z0-9][-_A-Za-z0-9]{0,39}")


@dataclass(frozen=True)
class Layout:
    """The paths of one sandbox below `root`."""

    root: Path

    @classmethod
    def named(cls, name: str = DEFAULT_NAME, *, base: Path | None = None) -> Layout:
        """The sandbox of that name below `base` (default: `.sandbox` in the working directory).

        Raises UsageError for what is no plain name: it becomes a directory, which is cleared.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"--name {name!r}: expected at most 40 letters, digits, '-' or '_', beginning with "
                "a letter or a digit"
            )
        return cls(((base or Path.cwd() / ".sandbox") / name).absolute())

    @property
    def control_plane(self) -> Path:
        return self.root / "control-plane"

    @property
    def envoy(self) -> Path:
        return self.root / "envoy"

    @property
    def prometheus(self) -> Path:
        return self.root / "prometheus"

    @property
    def node(self) -> Path:
        return self.root / "node"

    @property
    def operator(self) -> Path:
        return self.root / "operator"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        """Held by the owner process, whose pid and start time it contains."""
        return self.root / "owner.lock"

    @property
    def access(self) -> Path:
        """JSON: URLs and kubeconfigs, written when the sandbox is up, removed when it goes."""
        return self.root / "access.json"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig to use as a person: an admin of this sandbox only."""
        return self.root / "kubeconfig"
