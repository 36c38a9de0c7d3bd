"""What the code imports is declared, so that an image with the pinned packages alone can start."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "controller" / "sluice"
# Import name -> distribution, where they differ by more than '-' and '_'.
DISTRIBUTIONS = {"yaml": "pyyaml", "urllib3": "kubernetes", "grpc": "grpcio"}
# The model servers have an environment of their own, made of requirements/seldon.txt.
SELDON_ONLY = {"seldon_core", "google"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"sluice"}


def declared(lines: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", line)[0].lower() for line in lines}


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    always = declared(project["dependencies"])
    sandbox = always | declared(project["optional-dependencies"]["sandbox"])
    batch = always | declared(project["optional-dependencies"]["batch"])
    missing = {}
    for path in SOURCE.rglob("*.py"):
        part = path.relative_to(SOURCE).parts[0]
        allowed = sandbox if part in ("sandbox", "report", "replay") else always
        allowed = batch if part == "batch" else allowed
        for name in imported(path) - SELDON_ONLY:
            if DISTRIBUTIONS.get(name, name.replace("_", "-")) not in allowed:
                missing.setdefault(name, str(path.relative_to(ROOT)))
    assert missing == {}
