"""Files of several YAML documents, read with errors that say where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sluice.api.base import API_VERSION
from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import CLUSTER_POLICY_KIND, POLICY_KIND, parse_policy
from sluice.errors import SpecError, UsageError

POLICY_KINDS = (POLICY_KIND, CLUSTER_POLICY_KIND)


@dataclass(frozen=True)
class Document:
    """One YAML document that is a mapping; `number` counts from 1 within the file."""

    file: str
    number: int
    content: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The Kubernetes kind, or ""."""
        return str(self.content.get("kind") or "")

    @property
    def name(self) -> str:
        """metadata.name, or ""."""
        meta = self.content.get("metadata")
        return str(meta.get("name") or "") if isinstance(meta, Mapping) else ""

    @property
    def where(self) -> str:
        """File and document, for messages."""
        return f"{self.file}, document {self.number}"


def read_documents(path: Path) -> list[Document]:
    """All documents of a file. Raises UsageError if it cannot be read or is not such YAML."""
    try:
        loaded = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}; give an existing file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise UsageError(f"{path}: expected YAML, found something else: {text}") from error
    found = []
    for number, content in enumerate(loaded, start=1):
        if content is None:
            continue
        if not isinstance(content, dict):
            raise UsageError(
                f"{path}, document {number}: expected a mapping (key: value), found "
                f"{type(content).__name__}"
            )
        found.append(Document(str(path), number, content))
    if not found:
        raise UsageError(f"{path}: the file has no YAML document")
    return found


def read_policy(path: Path) -> CanaryPolicySpec:
    """The one policy of a file. Raises UsageError."""
    policies = [d for d in read_documents(path) if d.kind in POLICY_KINDS]
    if len(policies) != 1:
        raise UsageError(
            f"{path}: expected exactly one {POLICY_KIND} or {CLUSTER_POLICY_KIND} "
            f"(apiVersion {API_VERSION}), found {len(policies)}"
        )
    try:
        return parse_policy(dict(policies[0].content))
    except SpecError as error:
        raise UsageError(f"{policies[0].where}: {error}") from error
