"""Who else writes this object: a GitOps tool would take a change made by hand back."""

from __future__ import annotations

from typing import Any

_LABELS = {
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux (Kustomization)",
    "helm.toolkit.fluxcd.io/name": "Flux (HelmRelease)",
}
_ANNOTATIONS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "meta.helm.sh/release-name": "Helm",
}
_WRITERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux (Kustomization)",
    "helm-controller": "Flux (HelmRelease)",
    "helm": "Helm",
}


def owner_in_git(obj: dict[str, Any]) -> str:
    """The tool that keeps this object, as a person knows it, with what it shows by; "" if none."""
    meta = obj["metadata"]
    marks = (("label", "labels", _LABELS), ("annotation", "annotations", _ANNOTATIONS))
    for what, field, known in marks:
        for key, tool in known.items():
            if value := (meta.get(field) or {}).get(key):
                return f"{tool} ({what} {key}: {value})"
    for entry in meta.get("managedFields") or []:
        writer = str(entry.get("manager") or "")
        if writer in _WRITERS and "f:spec" in (entry.get("fieldsV1") or {}):
            return f"{_WRITERS[writer]} (field manager {writer})"
    return ""
