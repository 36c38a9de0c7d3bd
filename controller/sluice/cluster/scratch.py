"""Images that hold one binary each, for the parts of the platform: no build tool is needed.

A binary that is linked dynamically (Envoy) brings the libraries that this machine gives it. The
archive is the format of `docker save`, with all images in one file; the same binaries give the same
bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.errors import ToolError
from sluice.sandbox.parts import cache_directory

USER = "65532:65532"
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)")


@dataclass(frozen=True)
class Image:
    """`binary` becomes `/<its name>`, and the entrypoint."""

    name: str
    binary: Path


def archive(images: Iterable[Image]) -> Path:
    """A file with all the images, from the cache or made now."""
    images = list(images)
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.name}\0{image.binary}\0{image.binary.stat().st_mtime_ns}\0".encode())
    place = cache_directory() / "images" / f"platform-{digest.hexdigest()[:12]}.tar"
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_suffix(".unfinished")
        _write(unfinished, images)
        unfinished.replace(place)
    return place


def _write(path: Path, images: Iterable[Image]) -> None:
    manifest = []
    with tarfile.open(path, "w") as out:
        for image in images:
            layer = _layer(image.binary)
            config = json.dumps(_configuration(image.binary.name, layer)).encode()
            names = {
                kind: f"{hashlib.sha256(content).hexdigest()}.{kind}"
                for kind, content in (("tar", layer), ("json", config))
            }
            _add(out, names["tar"], layer)
            _add(out, names["json"], config)
            manifest.append(
                {"Config": names["json"], "RepoTags": [image.name], "Layers": [names["tar"]]}
            )
        _add(out, "manifest.json", json.dumps(manifest).encode())


def _configuration(binary: str, layer: bytes) -> Mapping[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Entrypoint": [f"/{binary}"], "User": USER, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "sluice.cluster"}],
    }


def _layer(binary: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        directory = tarfile.TarInfo("tmp")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
        out.addfile(directory)
        _add(out, "etc/passwd", b"nonroot:x:65532:65532:nonroot:/:/none\n")
        _add(out, "etc/group", b"nonroot:x:65532:\n")
        _add(out, binary.name, binary.read_bytes(), 0o755)
        for library in libraries(binary):
            _add(out, str(library).lstrip("/"), library.read_bytes(), 0o755)
    return buffer.getvalue()


def libraries(binary: Path) -> list[Path]:
    """What a dynamic binary is linked with on this machine, by the path it looks at; else none."""
    shown = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False)
    if shown.returncode:
        return []
    if "not found" in shown.stdout:
        raise ToolError(f"{binary} needs libraries that are not here:\n{shown.stdout}")
    return [Path(path) for path in _LIBRARY.findall(shown.stdout)]


def _add(out: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    out.addfile(info, io.BytesIO(content))
