"""A registry of images beside the cluster: what is pushed to it, the nodes can pull."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import yaml

from sluice.cluster.place import NodePlace, Place
from sluice.sandbox.processes import Supervisor, write_atomically

PORT = 5000
_CLIENTS = '[[registry]]\nlocation = "{host}"\ninsecure = true\n'


def address(place: Place) -> str:
    """host:port, the first part of the names of its images."""
    return f"{place.host_address}:{PORT}"


def start(place: Place, supervisor: Supervisor, debian_root: Path) -> None:
    """Starts Debian's docker-registry on the cluster's own link; nobody else can reach it.

    Raises SandboxError if it does not come up.
    """
    path = place.root / "registry.yaml"
    configuration = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(place.root / "registry")}},
        "http": {"addr": address(place)},
    }
    write_atomically(path, yaml.safe_dump(configuration))
    write_atomically(client_configuration(place), _CLIENTS.format(host=address(place)))
    supervisor.start(
        "registry",
        [str(debian_root / "usr/bin/docker-registry"), "serve", str(path)],
        ready=lambda: _answers(f"http://{address(place)}/v2/"),
    )


def hosts_directory(node: NodePlace) -> Path:
    """containerd's `certs.d`: this registry speaks plain HTTP."""
    host = address(node.cluster)
    own = node.root / "registries" / host
    own.mkdir(parents=True, exist_ok=True)
    (own / "hosts.toml").write_text(
        f'server = "http://{host}"\n\n'
        f'[host."http://{host}"]\n  capabilities = ["pull", "resolve"]\n'
    )
    return own.parent


def client_configuration(place: Place) -> Path:
    """For CONTAINERS_REGISTRIES_CONF of buildah, podman and skopeo: it speaks plain HTTP."""
    return place.root / "registries.conf"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - our own
            return bool(answer.status == 200)
    except OSError:
        return False
