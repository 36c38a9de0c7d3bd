"""An image of a user's own model: a folder with a Python class, on the base of the iris models."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

from sluice.errors import UsageError
from sluice.packaging import context
from sluice.packaging.image_list import MODELS_BASE, Image

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_NEVER = shutil.ignore_patterns(".git", "__pycache__", ".venv", ".DS_Store")
_CONTAINERFILE = """\
ARG BASE
FROM ${{BASE}}
LABEL org.opencontainers.image.title="{name}"
COPY model/ /models/own/
WORKDIR /models/own
# No shell in between: the server is the container's first process and gets its signals.
ENTRYPOINT ["seldon-core-microservice", "{cls}", "--service-type", "MODEL"]
"""


def own_model(folder: Path, scratch: Path, *, cls: str = "", name: str = "", tag: str) -> Image:
    """The image of the class `cls` in `folder`/`cls`.py, with all the folder's files beside it.

    `cls` may be left out where one file of the folder has a class of its own name, `name` where
    the folder's will do. The files are copied to `scratch`. Raises UsageError.
    """
    if not folder.is_dir():
        raise UsageError(f"--model {folder}: no such folder")
    cls = cls or _the_class(folder)
    if not _has_class(folder / f"{cls}.py", cls):
        raise UsageError(
            f"--model {folder}: expected a file {cls}.py with a class {cls}, as Seldon looks for it"
        )
    name = name or folder.resolve().name.lower().replace("_", "-")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be an image's name: give one with --name")
    if not tag:
        raise UsageError("a model's image needs a tag (TAG=1.0): every version its own")
    shutil.copytree(folder, scratch / "model", ignore=_NEVER)
    (scratch / "Containerfile").write_text(_CONTAINERFILE.format(name=name, cls=cls))
    return Image(
        name,
        tag,
        "own",
        "Containerfile",
        ("model",),
        on_python=False,
        parents={"BASE": MODELS_BASE},
        root=scratch,
        revision=context.revision_of_folder(folder),
    )


def _the_class(folder: Path) -> str:
    found = [path.stem for path in sorted(folder.glob("*.py")) if _has_class(path, path.stem)]
    if len(found) != 1:
        raise UsageError(
            f"--model {folder}: expected one file with a class of its own name (Wine.py with "
            f"class Wine), found {', '.join(found) or 'none'}: say which with --class"
        )
    return found[0]


def _has_class(path: Path, cls: str) -> bool:
    if not path.is_file():
        return False
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno}: {error.msg}") from error
    return any(isinstance(node, ast.ClassDef) and node.name == cls for node in tree.body)
