"""Writes manifests/ from the chart, which is the one source: `make manifests`.

`--check` says whether they are in step. It needs no helm: each file's first line has the digest of
the chart that it was made of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "charts" / "sluice"
MANIFESTS = ROOT / "manifests"
NAMESPACE = "sluice-system"
# What of the labels and annotations says that helm put them there.
_HELMS = re.compile(
    r"^ +(?:helm\.sh/chart: .*|app\.kubernetes\.io/managed-by: Helm)\n", re.MULTILINE
)
_KEPT = re.compile(r"^  annotations:\n    helm\.sh/resource-policy: keep\n", re.MULTILINE)
_SOURCE = re.compile(r"^# Source: .*\n", re.MULTILINE)

MONITORING: dict[str, Any] = {
    "serviceMonitor": {"enabled": True},
    "alerts": {"enabled": True},
    "dashboard": {"enabled": True},
}
PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "components/monitoring/monitoring.yaml": (MONITORING, "templates/monitoring.yaml"),
    "components/network-policy/network-policy.yaml": (
        {"networkPolicy": {"enabled": True}, "podDisruptionBudget": {"enabled": False}},
        "templates/protection.yaml",
    ),
}
"""File -> values and the template that it is rendered from."""
WHOLE = ("install.yaml", "base/sluice.yaml")
COPIED = [f"rbac/{path.name}" for path in sorted((CHART / "files" / "rbac").glob("*.yaml"))]


def digest() -> str:
    """Of everything that the rendered text depends on."""
    files = [*CHART.rglob("*"), MANIFESTS / "namespace.yaml", Path(__file__)]
    found = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def rendered() -> dict[str, str]:
    """The text of every generated file, by its path in manifests/. Needs helm."""
    first = (
        f"# Made from charts/sluice by `make manifests`: change that. Chart digest: {digest()}\n"
    )
    whole = (MANIFESTS / "namespace.yaml").read_text().rstrip() + "\n" + _template({})
    files = dict.fromkeys(WHOLE, first + whole)
    for path, (values, template) in PARTS.items():
        files[path] = first + _template(values, f"--show-only={template}")
    return files | _copied()


def _copied() -> dict[str, str]:
    return {path: (CHART / "files" / path).read_text() for path in COPIED}


def _template(values: dict[str, Any], *options: str) -> str:
    from sluice.sandbox.part_list import KUBERNETES_VERSION
    from sluice.sandbox.parts import ensure

    given = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    argv = [str(ensure("helm")), "template", "sluice", str(CHART), f"--namespace={NAMESPACE}"]
    argv += [f"--kube-version={KUBERNETES_VERSION}", *given, *options]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    for pattern in (_SOURCE, _HELMS, _KEPT):
        text = pattern.sub("", text)
    return text


def stale() -> list[str]:
    """Generated files that are missing or of another chart."""
    found = [path for path, text in _copied().items() if _read(path) != text]
    now = digest()
    for path in (*WHOLE, *PARTS):
        if not _read(path).partition("\n")[0].endswith(now):
            found.append(path)
    return found


def _read(path: str) -> str:
    file = MANIFESTS / path
    return file.read_text() if file.exists() else ""


def main(argv: list[str] | None = None) -> int:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="say which files are not in step")
    if parser.parse_args(argv).check:
        if old := stale():
            print(f"not in step with charts/sluice: {', '.join(old)}: run `make manifests`")
        return 1 if old else 0
    for path, text in rendered().items():
        file = MANIFESTS / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
