"""`python -m sluice.packaging`: build the images, say where they are. See docs/images.md."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sluice.errors import SluiceError, UsageError
from sluice.packaging.build import Built, Options, build
from sluice.packaging.builders import NAMES
from sluice.packaging.image_list import IMAGES, Image
from sluice.packaging.oci import link_or_copy
from sluice.packaging.own_model import own_model
from sluice.packaging.push import push
from sluice.sandbox.progress import screen


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    env = os.environ.get
    parser = argparse.ArgumentParser(prog="python -m sluice.packaging", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="a group (controller, models, stand-ins) or an image; may be given several times",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="not these images but one of your own model: a folder with Wine.py, class Wine",
    )
    parser.add_argument("--class", dest="cls", default="", metavar="NAME", help="the model's class")
    parser.add_argument("--name", default="", help="the model's image (default: the folder's name)")
    parser.add_argument("--builder", choices=NAMES, default=env("BUILDER") or "auto")
    parser.add_argument(
        "--python-image",
        default=env("PYTHON_IMAGE") or "",
        metavar="IMAGE",
        help="the base image, best with its digest (default: one of Debian's packages where that "
        "can be made, else the Containerfile's)",
    )
    parser.add_argument(
        "--registry",
        default=env("REGISTRY") or "",
        metavar="PREFIX",
        help="the first part of the images' names, such as registry.example/team",
    )
    parser.add_argument("--tag", default=env("TAG") or "", help="instead of the images' versions")
    parser.add_argument("--source", default="", metavar="URL", help="default: git's origin")
    parser.add_argument("--revision", default="", help="default: the last commit of the files")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("dist/images"),
        metavar="DIR",
        help="where layout, archive, digests and SBOMs go (default: %(default)s)",
    )
    parser.add_argument("--push", action="store_true", help="push to the registry in the names")
    parser.add_argument("--list", action="store_true", help="say which images there are")
    return parser.parse_args(argv)


def _model(arguments: argparse.Namespace, scratch: Path) -> Image | None:
    """The user's own, if that is asked for. Raises UsageError."""
    if arguments.model is None:
        if arguments.cls or arguments.name:
            raise UsageError("--class and --name are for --model DIR")
        return None
    if arguments.only:
        raise UsageError("expected one of --model and --only")
    given = {"cls": arguments.cls, "name": arguments.name, "tag": arguments.tag}
    return own_model(arguments.model, scratch, **given)


def _deliver(built: Built, output: Path) -> None:
    """The set's files in `output`, which is made anew: linked, or copied from another disk."""
    for name in ("layout", "sbom", "images.tar", "digests.json"):
        old = output / name
        if old.is_dir():
            shutil.rmtree(old)
        old.unlink(missing_ok=True)
    for path in sorted(built.directory.rglob("*")):
        if path.is_file():
            target = output / path.relative_to(built.directory)
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(path, target)


def _table(built: Built) -> Table:
    table = Table("image", "digest", box=None)
    for name, digest in sorted(built.digests.items()):
        table.add_row(name, digest)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = _arguments(argv)
    if arguments.list:
        for image in IMAGES.values():
            sys.stdout.write(f"{image.group:12}{image.reference}\n")
        return 0
    progress = screen()
    options = Options(
        builder=arguments.builder,
        python_image=arguments.python_image,
        registry=arguments.registry,
        tag=arguments.tag,
        source=arguments.source,
        revision=arguments.revision,
    )
    try:
        with tempfile.TemporaryDirectory(prefix="sluice-model-") as scratch:
            built = build(arguments.only, progress, options, model=_model(arguments, Path(scratch)))
        _deliver(built, arguments.output)
        if arguments.push:
            push(built, progress)
    except SluiceError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        return error.exit_code
    except KeyboardInterrupt:
        progress.note("stopped: what was built is kept; the next run goes on from here")
        return 130
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(_table(built))
    console.print(f"archive, layout, digests and SBOMs: {arguments.output}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
