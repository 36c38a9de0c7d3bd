"""A predictor's revision: what tells its pods from those of another."""

from __future__ import annotations

import hashlib
import json

from sluice.seldon.canonical import canonical
from sluice.seldon.containers import containers_of, graph_nodes
from sluice.seldon.objects import Frozen
from sluice.seldon.render import check_names, new_seldon_deployment, rendered

__all__ = [
    "check_names",
    "images_of",
    "new_seldon_deployment",
    "predictor_name",
    "rendered",
    "revision_of",
]


def revision_of(predictor: Frozen, metadata: Frozen | None = None) -> str:
    """Eight hex characters: the first of the SHA-256 of the canonical predictor.

    `metadata` (the SeldonDeployment's) does not count: its labels and annotations reach no pod, as
    recorded, and GitOps tools write theirs there. Neither do fields beside the predictors
    (`spec.annotations`, `protocol`): stable and candidate share them, so they cannot be tried on
    one of the two.
    """
    del metadata
    text = json.dumps(canonical(predictor), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def images_of(predictor: Frozen) -> tuple[str, ...]:
    """What it runs: the containers' images, then the model URIs of prepackaged servers."""
    images = [
        str(container["image"])
        for component in predictor.get("componentSpecs") or []
        for container in containers_of(component)
        if container.get("image")
    ]
    uris = [
        str(node["modelUri"])
        for node in graph_nodes(predictor.get("graph"))
        if node.get("modelUri")
    ]
    return tuple(dict.fromkeys([*images, *uris]))


def predictor_name(revision: str) -> str:
    """The predictor's name for its whole life. Short, for Seldon builds longer ones from it."""
    return f"v{revision}"
