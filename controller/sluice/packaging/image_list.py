"""Which images there are, what each is made of, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sluice._version import __version__
from sluice.errors import UsageError
from sluice.sandbox.images import VARIANTS

MODELS_VERSION = "1.0"


@dataclass(frozen=True)
class Image:
    """One image. Paths are relative to the checkout; a folder in `sources` means all its files.

    `parents` maps a build argument to the image it names. Without any, the image stands on the
    Python image (`PYTHON_IMAGE`, `BUILD_IMAGE`). `root`: where its files are, if not in the
    checkout; `revision` is then theirs.
    """

    name: str
    version: str
    group: str
    containerfile: str
    sources: tuple[str, ...]
    on_python: bool = True
    parents: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    revision: str = ""

    @property
    def reference(self) -> str:
        """`name:version`."""
        return f"{self.name}:{self.version}"


def _model(variant: str) -> Image:
    folder = f"model_images/{variant.replace('-', '_')}"
    return Image(
        f"sluice.dev/models/iris-{variant}",
        MODELS_VERSION,
        "models",
        f"{folder}/Containerfile",
        (folder,),
        on_python=False,
        parents={"BASE": _MODELS_BASE.name},
    )


def _stand_in(role: str) -> Image:
    return Image(
        f"sluice.dev/seldon-{role}-stand-in",
        __version__,
        "stand-ins",
        f"controller/stand_ins/{role}/Containerfile",
        (),
        on_python=False,
        parents={"BASE": _STAND_INS_BASE.name},
    )


_CONTROLLER = Image(
    "sluice-controller",
    __version__,
    "controller",
    "controller/Containerfile",
    ("requirements/controller.txt", "controller/sluice"),
)
MODELS_BASE = "sluice.dev/models/base"
_MODELS_BASE = Image(
    MODELS_BASE,
    MODELS_VERSION,
    "models",
    "model_images/base/Containerfile",
    ("requirements/seldon.txt", "model_images/linear_iris.py", "model_images/kit/sluice_model"),
)
_STAND_INS_BASE = Image(
    "sluice.dev/stand-ins/base",
    __version__,
    "stand-ins",
    "controller/stand_ins/base/Containerfile",
    ("requirements/stand-ins.txt",),
    parents={"CONTROLLER": _CONTROLLER.name},
)

# An image comes after its parents.
IMAGES: Mapping[str, Image] = {
    image.name: image
    for image in (
        _CONTROLLER,
        _MODELS_BASE,
        *(_model(variant) for variant in VARIANTS),
        _STAND_INS_BASE,
        *(_stand_in(role) for role in ("operator", "executor")),
    )
}
GROUPS = tuple(dict.fromkeys(image.group for image in IMAGES.values()))


def select(names: Iterable[str] | None = None) -> list[Image]:
    """The named images and all they stand on, parents first; all of them for None.

    A name may be an image's with or without its tag, or a group's (`controller`, `models`,
    `stand-ins`). Raises UsageError for any other.
    """
    if names is None:
        return list(IMAGES.values())
    wanted: set[str] = set()
    for name in names:
        found = [
            image.name
            for image in IMAGES.values()
            if name in (image.name, image.reference, image.group)
        ]
        if not found:
            raise UsageError(
                f"no image is called {name!r}: expected a group ({', '.join(GROUPS)}) or one of "
                + ", ".join(IMAGES)
            )
        for each in found:
            _add(each, wanted)
    return [image for image in IMAGES.values() if image.name in wanted]


def _add(name: str, wanted: set[str]) -> None:
    wanted.add(name)
    for parent in IMAGES[name].parents.values():
        _add(parent, wanted)
