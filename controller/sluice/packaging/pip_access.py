"""How pip inside a build reaches packages: as pip on this machine does, without a layer knowing.

The machine's settings (files and `PIP_*` variables) become one file, and its CA bundle another;
builds get both as secrets. They are seen while pip runs and are in no layer and no history.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CA_INSIDE = "/etc/build-ca.crt"
# What has a meaning inside a build; where packages come from and how to trust it.
_KEPT = frozenset(
    {
        "index-url",
        "extra-index-url",
        "no-index",
        "find-links",
        "trusted-host",
        "timeout",
        "retries",
        "proxy",
    }
)
_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_LINE = re.compile(r"^(global|install|download|:env:)\.([\w-]+)=(.*)$")


@dataclass(frozen=True)
class Access:
    """Files to hand to a build as secrets, and directories it has to see (`find-links`)."""

    secrets: Mapping[str, Path]
    volumes: tuple[Path, ...]


def prepare(directory: Path) -> Access:
    """Write the files into `directory` (readable by this user only)."""
    settings = read(_pip_config())
    volumes, links = [], []
    for link in settings.pop("find-links", "").split():
        path = Path(link)
        if "://" in link:
            links.append(link)
        elif path.is_dir() and any(path.iterdir()):
            links.append(link)
            volumes.append(path)
    if links:
        settings["find-links"] = "\n    ".join(links)
    secrets = {}
    bundle = settings.pop("cert", "") or next(filter(None, map(os.environ.get, _BUNDLES)), "")
    if bundle and Path(bundle).is_file():
        settings["cert"] = CA_INSIDE
        secrets["ca"] = Path(bundle)
    target = directory / "pip.conf"
    target.touch(mode=0o600)
    target.write_text(render(settings.items()))
    secrets["pip"] = target
    return Access(secrets, tuple(volumes))


def read(listing: str) -> dict[str, str]:
    """The settings in the output of `pip config list`. Variables win over files."""
    settings: dict[str, str] = {}
    variables: dict[str, str] = {}
    for line in listing.splitlines():
        match = _LINE.match(line)
        if match and (match[2] in _KEPT or match[2] == "cert"):
            target = variables if match[1] == ":env:" else settings
            target[match[2]] = str(ast.literal_eval(match[3]))
    return settings | variables


def render(settings: Iterable[tuple[str, str]]) -> str:
    """The text of a pip configuration file."""
    lines = [f"{name} = {value.replace(chr(10), chr(10) + '    ')}" for name, value in settings]
    return "\n".join(["[global]", *lines]) + "\n"


def _pip_config() -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
    )
    return answer.stdout if answer.returncode == 0 else ""
