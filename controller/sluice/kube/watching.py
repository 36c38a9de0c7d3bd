"""The events of one watch, and how calls are named in messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from sluice.errors import ApiError, ApiUnavailableError
from sluice.kube import failures
from sluice.kube.transport import Response
from sluice.resources import Resource


@dataclass(frozen=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK (of which only the resourceVersion counts)."""

    type: str
    object: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One call as an error message names it."""

    verb: str
    resource: str
    what: str
    path: str


class WatchStream(Iterator[WatchEvent]):
    """The events of one watch, until the server ends it or `stop` is called.

    Raises GoneError when the version is too old, ApiUnavailableError when the connection breaks.
    """

    def __init__(self, response: Response, asked: Asked) -> None:
        self._response = response
        self._lines = response.lines()
        self._asked = asked
        self._closed = False

    def __next__(self) -> WatchEvent:
        try:
            line = next(self._lines)
            event = json.loads(line)
        except StopIteration:
            self.close()
            raise
        except ApiError as error:
            self.close()
            raise ApiUnavailableError(
                f"{self._asked.what}: {error}", verb=self._asked.verb, path=self._asked.path
            ) from error
        except ValueError as error:
            self.close()
            raise ApiUnavailableError(
                f"{self._asked.what}: expected a JSON event on the watch, found "
                f"{line[:80]!r}: a proxy in between may have cut it",
                verb=self._asked.verb,
                path=self._asked.path,
            ) from error
        if event.get("type") == "ERROR":
            self.close()
            status = event.get("object") or {}
            raise failures.from_status(
                status,
                int(status.get("code") or 0),
                what=self._asked.what,
                verb=self._asked.verb,
                path=self._asked.path,
            )
        return WatchEvent(event["type"], event["object"])

    def stop(self) -> None:
        """End the iteration from any thread, at once."""
        self._response.interrupt()

    def close(self) -> None:
        """Give the connection back: by the thread that iterates."""
        if not self._closed:
            self._closed = True
            self._response.close()

    def __enter__(self) -> WatchStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def describe(
    verb: str,
    resource: Resource,
    name: str | None,
    namespace: str | None,
    subresource: str | None = None,
) -> str:
    """A call as messages name it: ``get deployments.apps prod/iris``."""
    kind = f"{resource.qualified}/{subresource}" if subresource else resource.qualified
    where = f"{namespace}/{name}" if namespace and name else name
    if not where:
        scope = "all namespaces" if resource.namespaced else "the cluster"
        where = f"in {f'namespace {namespace}' if namespace else scope}"
    return f"{verb} {kind} {where}"
