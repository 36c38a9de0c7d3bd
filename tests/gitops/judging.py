"""Asks the tools' own libraries, and does with an action's answer what Argo CD does."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sluice.sandbox import parts

from .recording import DIRECTORY, LIVES

Object = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
ARGOCD = ROOT / "gitops" / "argocd"
ROLLOUT = ARGOCD / "sluice.dev" / "ModelRollout"
FLUX = ROOT / "gitops" / "flux"


def statuses() -> dict[str, Object]:
    """The recorded ModelRollouts by name."""
    return {name: yaml.safe_load((DIRECTORY / f"{name}.yaml").read_text()) for name in LIVES}


def ask(objects: Iterable[Object], *words: str) -> list[Any]:
    """One answer for each object. Fails with the interpreter's own words."""
    argv = [str(_program()), *words]
    text = "\n---\n".join(json.dumps(obj) for obj in objects)
    ended = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def run_script(script: Path, *objects: Object) -> list[Any]:
    """What a script returns for each object, in Argo CD's interpreter."""
    return ask(objects, "lua", str(script))


def patch_of(old: Object, returned: Object) -> Object:
    """The merge patch that Argo CD sends for what an action returned."""
    return _merge_patch(old, _with_empties(returned, old))


@functools.cache
def _program() -> Path:
    return parts.ensure("gitops-health")


def _with_empties(new: Any, old: Any) -> Any:
    """Lua does not tell {} from []: Argo CD puts back what was there."""
    if new == [] and isinstance(old, dict):
        return old
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _with_empties(value, old.get(key)) for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [_with_empties(a, b) for a, b in zip(new, old, strict=True)]
    return new


def _merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    patch: Object = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := _merge_patch(before, value):
                patch[key] = inner
        elif value != before:
            patch[key] = value
    return patch
