"""OCI layouts: blobs by digest, an index with names, the archive that containerd imports.

Written here rather than by a builder because everything in it is then in one order and without
times: the same images give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from sluice.errors import ToolError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX = "application/vnd.oci.image.index.v1+json"
# containerd, and with it Kubernetes, takes the whole name from the first, others from the second.
_CONTAINERD_NAME = "io.containerd.image.name"
_NAME = "org.opencontainers.image.ref.name"


def whole_name(name: str) -> str:
    """What a cluster understands by an image's name: without a registry it is Docker Hub's."""
    registry, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    if "." in registry or ":" in registry or registry == "localhost":
        return name
    return f"docker.io/{name}"


class Layout:
    """A directory in the form of the OCI image layout 1.0."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        marker = path / "oci-layout"
        if not marker.exists():
            marker.write_text('{"imageLayoutVersion":"1.0.0"}')

    def blob(self, digest: str) -> Path:
        """Where `sha256:<hex>` is, or would be."""
        return self.path / "blobs" / digest.replace(":", "/")

    def add(self, data: bytes) -> str:
        """Store a blob; returns its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        path = self.blob(digest)
        if not path.exists():
            temporary = path.with_name(f".{path.name}")
            temporary.write_bytes(data)
            temporary.replace(path)
        return digest

    def add_layer(self, tar: Path) -> tuple[dict[str, Any], str]:
        """Compress a tar into a blob; returns its descriptor and the digest of the tar itself.

        A tar that is compressed already is compressed anew, in the one way used here.
        """
        plain = hashlib.sha256()
        with (
            tempfile.NamedTemporaryFile(dir=self.path, delete=False) as out,
            _opened(tar) as source,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=out, mtime=0) as packed,
        ):
            while chunk := source.read(1 << 20):
                plain.update(chunk)
                packed.write(chunk)
        with Path(out.name).open("rb") as handle:
            digest = f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
        size = Path(out.name).stat().st_size
        Path(out.name).chmod(0o644)
        Path(out.name).replace(self.blob(digest))
        return _descriptor(LAYER, digest, size), f"sha256:{plain.hexdigest()}"

    def add_image(self, config: Mapping[str, Any], layers: Iterable[Mapping[str, Any]]) -> str:
        """Store an image's config and manifest; returns the manifest's digest."""
        return self._add_manifest(self.add(_json(config)), layers)

    def _add_manifest(self, config: str, layers: Iterable[Mapping[str, Any]]) -> str:
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config, self.blob(config).stat().st_size),
            "layers": list(layers),
        }
        return self.add(_json(manifest))

    def adopt(self, manifest: str, source: Layout) -> str:
        """Have a builder's image here, its layers compressed our way; returns its digest here.

        Builders compress differently from version to version, and buildah remarks in the history
        which images of its own store it went through: these have other ids in another store. All
        else of the config, and with it the hashes of the uncompressed layers, is taken as it is.
        """
        content = source.read(manifest)
        config = source.read(content["config"]["digest"])
        for entry in config.get("history", ()):
            entry.pop("comment", None)
        layers = []
        plain = config["rootfs"]["diff_ids"]
        for expected, layer in zip(plain, content["layers"], strict=True):
            known = self.path / "layers" / f"{expected.replace(':', '-')}.json"
            if known.is_file():
                descriptor = json.loads(known.read_text())
                if self.blob(descriptor["digest"]).is_file():
                    layers.append(descriptor)
                    continue
            descriptor, found = self.add_layer(source.blob(layer["digest"]))
            if found != expected:
                raise ToolError(f"a layer of the built image has {found}, expected {expected}")
            known.parent.mkdir(exist_ok=True)
            known.write_text(json.dumps(descriptor))
            layers.append(descriptor)
        return self.add_image(config, layers)

    def read(self, digest: str) -> dict[str, Any]:
        """A JSON blob."""
        loaded: dict[str, Any] = json.loads(self.blob(digest).read_bytes())
        return loaded

    def config(self, manifest: str) -> dict[str, Any]:
        """The config of an image, given its manifest's digest."""
        return self.read(self.read(manifest)["config"]["digest"])

    def digests(self) -> dict[str, str]:
        """Names in the index -> digests of their manifests."""
        index = self.path / "index.json"
        if not index.exists():
            return {}
        return {
            entry.get("annotations", {}).get(_NAME, ""): entry["digest"]
            for entry in json.loads(index.read_text())["manifests"]
        }

    def write_index(self, names: Mapping[str, str]) -> None:
        """Name manifests. The index is in the order of the names."""
        manifests = [
            {
                **_descriptor(MANIFEST, digest, self.blob(digest).stat().st_size),
                "annotations": {_CONTAINERD_NAME: whole_name(name), _NAME: name},
            }
            for name, digest in sorted(names.items())
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        (self.path / "index.json").write_bytes(_json(index))

    def has(self, manifest: str) -> bool:
        """Whether an image is here with all its blobs."""
        if not self.blob(manifest).is_file():
            return False
        content = self.read(manifest)
        return all(
            self.blob(blob["digest"]).is_file() for blob in (content["config"], *content["layers"])
        )

    def take(self, manifest: str, source: Layout) -> None:
        """Have an image of another layout here too: linked where possible, else copied."""
        content = source.read(manifest)
        for digest in (
            manifest,
            content["config"]["digest"],
            *(layer["digest"] for layer in content["layers"]),
        ):
            link_or_copy(source.blob(digest), self.blob(digest))

    def archive(self, path: Path) -> None:
        """One tar of the layout, as `ctr images import`, `podman load` and skopeo read it."""
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in ("oci-layout", "index.json"):
                _add_file(tar, self.path / name, name)
            blobs = self.path / "blobs" / "sha256"
            for blob in sorted(blobs.iterdir()):
                _add_file(tar, blob, f"blobs/sha256/{blob.name}")


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link to a file that is never changed, a copy on another disk."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _add_file(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = path.stat().st_size
    entry.mode = 0o644
    with path.open("rb") as handle:
        tar.addfile(entry, handle)


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def unpack_archive(path: Path, into: Path) -> Layout:
    """The layout in a tar, as `docker save` writes one since version 25."""
    with tarfile.open(path) as tar:
        tar.extractall(into, filter="data")
    return Layout(into)


def layer_members(layout: Layout, digest: str) -> Iterable[tuple[tarfile.TarInfo, bytes]]:
    """The small files of a layer (up to 4 MiB), with their content, in its order."""
    with tarfile.open(layout.blob(digest), "r:*") as tar:
        for member in tar:
            data = tar.extractfile(member) if member.isfile() and member.size < 1 << 22 else None
            yield member, (data or io.BytesIO()).read()
