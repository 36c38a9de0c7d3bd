"""What the commands print as JSON and YAML, typed: docs/schemas/ is generated from here.

Fields may be added; none is renamed, removed or given another meaning within v1alpha1.
`python -m sluice.cli.documents docs/schemas` writes the files, `--check` compares them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from sluice.api.base import API_VERSION, StatusModel
from sluice.api.status import HistoryEntry, Phase, RolloutStatus

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class OpenPart(StatusModel):
    """A part of a Kubernetes object that is described elsewhere."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Metadata(OpenPart):
    """What is always there of an object's metadata."""

    name: str
    namespace: str


class RolloutDocument(StatusModel):
    """`sluice status NAME -o json`: the ModelRollout as the API server has it."""

    api_version: Literal["sluice.dev/v1alpha1"] = API_VERSION  # type: ignore[assignment]
    kind: Literal["ModelRollout"] = "ModelRollout"
    metadata: Metadata
    spec: OpenPart
    status: RolloutStatus | None = None


class ListDocument(StatusModel):
    """`sluice list -o json`."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["List"] = "List"
    items: list[RolloutDocument]


class HistoryDocument(StatusModel):
    """`sluice history NAME -o json`; entries oldest first."""

    name: str
    namespace: str
    stable: str | None = Field(description="The stable's revision.")
    entries: list[HistoryEntry]


class LiveDocument(StatusModel):
    """`sluice history NAME --at TIME -o json`. Times are RFC 3339 in UTC."""

    at: str
    revision: str | None = Field(description="None: it is not known.")
    images: list[str]
    since: str | None = Field(description="None: since before what is known.")
    why: str
    beside: str | None = Field(description="A rollout that was in progress then.")


class WaitDocument(StatusModel):
    """`sluice wait NAME -o json`, whatever the end."""

    name: str
    namespace: str
    generation: int | None
    wanted: list[str]
    outcome: Literal["Met", "RolledBack", "Never", "TimedOut"]
    met: str | None = Field(description="The --for that came.")
    message: str
    phase: Phase
    stable: str | None
    candidate: str | None = Field(description="The candidate's revision, or the rejected one's.")


class BatchDocument(StatusModel):
    """`sluice batch --summary json`, whatever the end."""

    input: str
    output: str
    failed_output: str = Field(description="Where failed rows are, if there are any.")
    target: str
    batch_id: str
    outcome: Literal["Done", "RowsFailed", "Stopped", "Interrupted"]
    message: str = Field(description="Why it stopped early; empty otherwise.")
    rows: int = Field(description="Done so far, over all runs: ok and failed.")
    ok: int
    failed: int
    runs: int = Field(description="How often it was begun or resumed.")
    seconds: float = Field(description="Over all runs.")
    rows_per_second: float


DOCUMENTS: dict[str, type[StatusModel]] = {
    "list": ListDocument,
    "status": RolloutDocument,
    "history": HistoryDocument,
    "history-entry": HistoryEntry,
    "history-at": LiveDocument,
    "wait": WaitDocument,
    "batch": BatchDocument,
}


def schema(name: str) -> dict[str, Any]:
    """The JSON schema of one command's output."""
    model = DOCUMENTS[name]
    found = model.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": _DIALECT, "$id": f"urn:sluice:v1alpha1:{name}", **found}


def stale(directory: Path) -> list[str]:
    """Names of files that are missing or not as they would be written now."""
    return [
        f"{name}.json"
        for name in DOCUMENTS
        if not (path := directory / f"{name}.json").is_file() or path.read_text() != _text(name)
    ]


def main(words: list[str]) -> int:
    """Write the files into a directory, or (`--check`) say which are not in step."""
    check, directory = "--check" in words, Path(words[-1])
    if check:
        if old := stale(directory):
            sys.stderr.write(f"not in step with sluice.cli.documents: {', '.join(old)}\n")
        return 1 if old else 0
    directory.mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        (directory / f"{name}.json").write_text(_text(name))
    return 0


def _text(name: str) -> str:
    return json.dumps(schema(name), indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
