"""Building images: what is there is kept, what has changed is built, in the order they stand.

Everything is below `<cache>/images`: `pool` holds every image once (layers shared), `sets/<key>`
what one call asked for. The key is a hash of all that goes in, so a second call finds its set.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sluice.errors import ToolError
from sluice.packaging import base, builders, context, pip_access, sbom
from sluice.packaging.image_list import IMAGES, Image, select
from sluice.packaging.oci import Layout
from sluice.sandbox import part_builds, parts
from sluice.sandbox.debian_archive import why_not
from sluice.sandbox.progress import Progress, Silent, Step

FORM = 3  # of what is kept: a change of it builds anew
# Files in images carry this time unless SOURCE_DATE_EPOCH says otherwise: 2026-01-01.
EPOCH = 1767225600
KEPT_SETS = 8
_LABEL = "org.opencontainers.image"


@dataclass(frozen=True)
class Options:
    """How to build. Empty values: what fits this machine and checkout.

    `python_image` is the base image's name (with its digest, if the result is to be the same
    tomorrow). `registry` becomes the first part of the images' names, `tag` their tag.
    """

    builder: str = "auto"
    python_image: str = ""
    registry: str = ""
    tag: str = ""
    source: str = ""
    revision: str = ""
    epoch: int = field(default_factory=lambda: int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH))


@dataclass(frozen=True)
class Built:
    """`archive` is one tar with all names; `digests` and `sboms` are by those names."""

    directory: Path
    archive: Path
    layout: Path
    digests: Mapping[str, str]
    sboms: Mapping[str, Path]


def build(
    names: Iterable[str] | None = None,
    progress: Progress | None = None,
    options: Options | None = None,
    store: Path | None = None,
    model: Image | None = None,
) -> Built:
    """Images by name, with or without tag, or by group; None: all of them.

    Images that others only stand on are built, but not in the result unless named. `store` is
    where images and layers are kept (None: in the cache). `model`: a user's own, and nothing but
    that. Raises ToolError or UsageError.
    """
    work = _Work(
        root=part_builds.source_root(),
        directory=store or parts.cache_directory() / "images",
        options=options or Options(),
        progress=progress or Silent(),
        model=model,
    )
    if model is None:
        needed = select(names)
        wanted = _named(needed, names)
    else:
        needed, wanted = [*select(model.parents.values()), model], [model]
    found = work.find(wanted)
    if found is None:
        work.directory.mkdir(parents=True, exist_ok=True)
        with part_builds.exclusive(work.directory / "lock", work.progress):
            found = work.find(wanted) or work.make(needed, wanted)
    return found


def _named(needed: list[Image], names: Iterable[str] | None) -> list[Image]:
    if names is None:
        return needed
    named = set(names)
    return [each for each in needed if named & {each.name, each.reference, each.group}]


class _Work:
    def __init__(
        self,
        root: Path,
        directory: Path,
        options: Options,
        progress: Progress,
        model: Image | None = None,
    ) -> None:
        self.root = root
        self.model = model
        self.directory = directory
        self.options = options
        self.progress = progress
        # Bases of our own where nothing else is asked for and they can be made.
        self.own_base = not options.python_image and not why_not()
        self._keys: dict[str, str] = {}
        self._base: base.Base | None = None
        self._base_digest = ""
        self._builder: builders.Builder | None = None
        self._access: pip_access.Access | None = None
        self._in_builder: set[str] = set()

    # Names and keys.

    def name(self, image: Image) -> str:
        """The name an image gets: with the registry and the tag that were asked for."""
        name = f"{image.name}:{self._tag(image)}"
        if self.options.registry:
            name = f"{self.options.registry.rstrip('/')}/{name.removeprefix('sluice.dev/')}"
        return name

    def key(self, image: Image) -> str:
        """A hash of all that makes the image what it is."""
        if image.name not in self._keys:
            inputs = {
                "form": FORM,
                "files": context.hash_of(image.root or self.root, image),
                "base": base.recipe() if self.own_base else self.options.python_image,
                "builder": self.options.builder,
                "epoch": self.options.epoch,
                "tag": self._tag(image),
                "source": self._source(),
                "revision": self._revision(image),
                "parents": [self.key(IMAGES[parent]) for parent in image.parents.values()],
            }
            text = json.dumps(inputs, sort_keys=True)
            self._keys[image.name] = hashlib.sha256(text.encode()).hexdigest()[:24]
        return self._keys[image.name]

    def _tag(self, image: Image) -> str:
        # A model's tag is its own: what it stands on is the same for all its versions.
        if self.model is not None:
            return image.version
        return self.options.tag or image.version

    def _source(self) -> str:
        return self.options.source or context.origin(self.root)

    def _revision(self, image: Image) -> str:
        if image.root is not None:
            return self.options.revision or image.revision
        return self.options.revision or context.revision(self.root, image)

    def _place(self, wanted: list[Image]) -> Path:
        text = json.dumps([[self.name(image), self.key(image)] for image in wanted])
        return self.directory / "sets" / hashlib.sha256(text.encode()).hexdigest()[:16]

    # Sets.

    def find(self, wanted: list[Image]) -> Built | None:
        """The set, if it was made before."""
        place = self._place(wanted)
        digests = place / "digests.json"
        if not digests.is_file():
            return None
        os.utime(place)
        return _built(place, json.loads(digests.read_text()))

    def make(self, needed: list[Image], wanted: list[Image]) -> Built:
        """Build what is missing and put the set together."""
        pool = Layout(self.directory / "pool")
        with part_builds.scratch(self.directory, "images") as scratch:
            digests = {image.name: self._image(image, pool, scratch) for image in needed}
            out = scratch / "set"
            self._assemble(pool, out, {self.name(image): digests[image.name] for image in wanted})
            place = self._place(wanted)
            place.parent.mkdir(exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            out.replace(place)
        self._forget_old(place, pool)
        found = self.find(wanted)
        assert found is not None
        return found

    def _assemble(self, pool: Layout, out: Path, digests: dict[str, str]) -> None:
        with self.progress.step("write the archive, the digests and the SBOMs", "", 10) as step:
            layout = Layout(out / "layout")
            for digest in digests.values():
                layout.take(digest, pool)
            layout.write_index(digests)
            (out / "sbom").mkdir()
            for name, digest in sorted(digests.items()):
                step.detail(f"SBOM of {name}")
                _sbom_path(out, name).write_text(sbom.describe(name, digest, layout))
            step.detail("archive")
            layout.archive(out / "images.tar")
            (out / "digests.json").write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n")

    def _forget_old(self, current: Path, pool: Layout) -> None:
        """Old sets go, and the blobs that no set links to any more."""
        sets = sorted(current.parent.iterdir(), key=lambda path: -path.stat().st_mtime)
        for old in sets[KEPT_SETS:]:
            if old != current:
                shutil.rmtree(old, ignore_errors=True)
        if len(sets) > KEPT_SETS:
            for blob in (pool.path / "blobs" / "sha256").iterdir():
                if blob.stat().st_nlink == 1:
                    blob.unlink()

    # One image.

    def _image(self, image: Image, pool: Layout, scratch: Path) -> str:
        record = pool.path / "records" / self.key(image)
        if record.is_file() and pool.has(digest := record.read_text()):
            return digest
        why = "the base of others" if image.name.endswith("/base") else ""
        with self.progress.step(f"build {image.reference}", why, 40 if image.on_python else 3) as s:
            digest = self._build(image, pool, scratch, s)
        record.parent.mkdir(exist_ok=True)
        record.write_text(digest)
        return digest

    def _build(self, image: Image, pool: Layout, scratch: Path, step: Step) -> str:
        builder = self._ready_builder()
        access = self._ready_access(scratch)
        args = {}
        for argument, parent in image.parents.items():
            args[argument] = self._ready_parent(IMAGES[parent], pool, builder, scratch)
        if image.on_python and (named := self._ready_base(builder, scratch)):
            args["PYTHON_IMAGE"] = named
            args["BUILD_IMAGE"] = base.BUILD_NAME if self.own_base else named
        place = scratch / f"context-{self.key(image)}"
        place.mkdir()
        context.stage(image.root or self.root, image, place)
        builder.build(
            builders.Build(
                reference=_local(image.reference),
                context=place,
                containerfile=image.containerfile,
                args=args,
                labels=self._labels(image, pool, args),
                secrets=access.secrets,
                volumes=access.volumes,
                epoch=self.options.epoch,
            ),
            parts.cache_directory() / "logs" / f"image-{image.name.replace('/', '-')}.log",
            step,
        )
        step.detail("taking it out of the builder")
        out = scratch / f"export-{self.key(image)}"
        exported = Layout(out / "layout")
        digest = builder.export(_local(image.reference), exported, out)
        step.detail("compressing new layers")
        adopted = pool.adopt(digest, exported)
        shutil.rmtree(out)
        self._in_builder.add(image.name)
        return adopted

    def _labels(self, image: Image, pool: Layout, args: Mapping[str, str]) -> dict[str, str]:
        labels = {
            f"{_LABEL}.version": self._tag(image),
            f"{_LABEL}.source": self._source(),
            f"{_LABEL}.revision": self._revision(image),
        }
        if parent := image.parents.get("BASE"):
            labels[f"{_LABEL}.base.name"] = IMAGES[parent].reference
            record = pool.path / "records" / self.key(IMAGES[parent])
            labels[f"{_LABEL}.base.digest"] = record.read_text()
        elif "PYTHON_IMAGE" in args:
            labels[f"{_LABEL}.base.name"] = args["PYTHON_IMAGE"]
            labels[f"{_LABEL}.base.digest"] = self._base_digest
        return {name: value for name, value in labels.items() if value}

    def _ready_builder(self) -> builders.Builder:
        if self._builder is None:
            store = self.directory / "store"
            store.mkdir(parents=True, exist_ok=True)
            self._builder = builders.choose(self.options.builder, store, self.progress)
        return self._builder

    def _ready_access(self, scratch: Path) -> pip_access.Access:
        if self._access is None:
            self._access = pip_access.prepare(scratch)
        return self._access

    def _ready_parent(
        self, parent: Image, pool: Layout, builder: builders.Builder, scratch: Path
    ) -> str:
        if parent.name not in self._in_builder:
            digest = (pool.path / "records" / self.key(parent)).read_text()
            _load(builder, _local(parent.reference), digest, pool, scratch)
            self._in_builder.add(parent.name)
        return _local(parent.reference)

    def _ready_base(self, builder: builders.Builder, scratch: Path) -> str:
        if not self.own_base:
            if self.options.python_image and not self._base_digest:
                self._base_digest = builder.digest_of(self.options.python_image)
            return self.options.python_image
        if self._base is None:
            place = self.directory / "base"
            place.mkdir(exist_ok=True)
            made = base.make(place, self.options.epoch, self.progress)
            for name, digest in ((base.PYTHON_NAME, made.python), (base.BUILD_NAME, made.build)):
                _load(builder, name, digest, made.layout, scratch)
            self._base, self._base_digest = made, made.python
        return base.PYTHON_NAME


def _local(reference: str) -> str:
    """A name that no builder looks for in a registry."""
    return reference if "/" in reference else f"localhost/{reference}"


def _load(builder: builders.Builder, name: str, digest: str, source: Layout, scratch: Path) -> None:
    with part_builds.scratch(scratch, "load") as directory:
        one = Layout(directory / "layout")
        one.take(digest, source)
        one.write_index({name: digest})
        one.archive(directory / "image.tar")
        builder.load(name, directory / "image.tar")


def _sbom_path(directory: Path, name: str) -> Path:
    return directory / "sbom" / f"{name.replace('/', '_').replace(':', '_')}.cdx.json"


def _built(place: Path, digests: Mapping[str, str]) -> Built:
    sboms = {name: _sbom_path(place, name) for name in digests}
    if missing := [str(path) for path in sboms.values() if not path.is_file()]:
        raise ToolError(f"{place} is not whole ({missing[0]} is missing): remove it and try again")
    return Built(place, place / "images.tar", place / "layout", digests, sboms)
