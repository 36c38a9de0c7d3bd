"""What Seldon's request logger sends: CloudEvents in the binary form of HTTP.

The body is the request's own, the rest is in headers named `ce-...`. Names and types are those of
executor/logger/worker.go of Seldon Core 1.17.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REQUEST, RESPONSE, FEEDBACK = "request", "response", "feedback"
TYPES = {
    "io.seldon.serving.inference.request": REQUEST,
    "io.seldon.serving.inference.response": RESPONSE,
    "io.seldon.serving.feedback": FEEDBACK,
}
_LONGEST_SHOWN = 60


class NotAnEvent(ValueError):
    """This HTTP request is none of Seldon's logger. The message says what was expected."""


@dataclass(frozen=True)
class Event:
    """One event's headers; "" for what it does not say. `node` is the graph's node that logs."""

    kind: str
    deployment: str
    namespace: str
    predictor: str
    node: str


def read_event(headers: Mapping[str, str]) -> Event:
    """The event of an HTTP request; `headers` looks names up whatever their case.

    Raises NotAnEvent.
    """
    said = headers.get("ce-type")
    if said is None:
        raise NotAnEvent(
            "expected a CloudEvent in the binary form (a header ce-type), found none: "
            "graph.logger.url of a SeldonDeployment is what leads here"
        )
    kind = TYPES.get(said)
    if kind is None:
        raise NotAnEvent(f"expected ce-type {' or '.join(TYPES)}, found {said[:_LONGEST_SHOWN]!r}")
    return Event(
        kind,
        deployment=headers.get("ce-inferenceservicename", ""),
        namespace=headers.get("ce-namespace", ""),
        predictor=headers.get("ce-endpoint", ""),
        node=headers.get("ce-modelid", ""),
    )
