"""The API server in a dozen verbs, over plain dicts.

Every call has a timeout and raises the errors of `sluice.errors`: NotFoundError, ConflictError,
GoneError, InvalidError (PatchTestFailedError for a patch that does not fit), ForbiddenError,
ApiUnavailableError. Their messages say what was asked of what, and what the server said.
Safe to share between threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from sluice.errors import ApiError, ApiUnavailableError, GoneError
from sluice.kube import connect, failures
from sluice.kube.transport import Call, HttpTransport, Response, Timeout, Transport
from sluice.kube.watching import Asked, WatchEvent, WatchStream, describe
from sluice.resources import Resource

__all__ = [
    "Client",
    "ListResult",
    "Object",
    "RequestObserver",
    "Timeout",
    "WatchEvent",
    "WatchStream",
]

Object = dict[str, Any]
Pairs = list[tuple[str, str]]
Ops = list[Object]
Query = Iterable[tuple[str, str]]
# Called after each answer with verb, plural name ("" for a bare path) and HTTP code (0: none came).
RequestObserver = Callable[[str, str, int], None]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
# A watch is ended by the server after `timeout_seconds`; silence this much longer means it is dead.
WATCH_GRACE_SECONDS = 10.0
_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}


@dataclass(frozen=True)
class ListResult:
    """A whole collection at one resourceVersion, from which a watch can go on."""

    items: list[Object]
    resource_version: str


class Client:
    """See the module. `namespace` is what holds where a user names none."""

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str = "default",
        timeout: Timeout | None = None,
        on_request: RequestObserver | None = None,
    ) -> None:
        self._transport = transport
        self.namespace = namespace
        self._timeout = timeout or Timeout()
        self._on_request = on_request

    @classmethod
    def connect(
        cls,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        user_agent: str = "sluice",
        timeout: Timeout | None = None,
        connections: int = 10,
        on_request: RequestObserver | None = None,
    ) -> Client:
        """A client for `kubeconfig`, else $KUBECONFIG, ~/.kube/config, or the pod's own account.

        Sends nothing yet. Raises UsageError if there is no usable configuration.
        """
        configuration, namespace = connect.load(kubeconfig, context)
        transport = HttpTransport(configuration, user_agent=user_agent, connections=connections)
        return cls(transport, namespace=namespace, timeout=timeout, on_request=on_request)

    def with_timeout(self, timeout: Timeout) -> Client:
        """The same connections, with another timeout on each call."""
        return Client(
            self._transport,
            namespace=self.namespace,
            timeout=timeout,
            on_request=self._on_request,
        )

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._transport.server

    def close(self) -> None:
        """Drop all connections."""
        self._transport.close()

    # --- reading

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """One object. Raises NotFoundError."""
        return self._call("get", resource, name, namespace)

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> ListResult:
        """All objects (of all namespaces if none is given), read in pages of `limit`."""
        query = _selectors(label_selector, field_selector)
        try:
            return self._pages(resource, namespace, query, limit)
        except GoneError:
            # Written to so much between two pages that the first one's version is gone: one page.
            return self._pages(resource, namespace, query, 0)

    def _pages(
        self, resource: Resource, namespace: str | None, query: Pairs, limit: int
    ) -> ListResult:
        items: list[Object] = []
        token = ""
        while True:
            paging = [("limit", str(limit))] if limit else []
            if token:
                paging.append(("continue", token))
            page = self._call("list", resource, None, namespace, query=[*query, *paging])
            for item in page.get("items") or []:
                # Built-in kinds leave these out in lists, custom ones do not.
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
                items.append(item)
            meta = page.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                return ListResult(items, str(meta.get("resourceVersion") or ""))

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        timeout_seconds: int = 60,
        label_selector: str = "",
        field_selector: str = "",
    ) -> WatchStream:
        """What happens after `resource_version`, bookmarks included, for `timeout_seconds`."""
        query = [
            *_selectors(label_selector, field_selector),
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", resource_version),
            ("timeoutSeconds", str(timeout_seconds)),
        ]
        path = resource.path(None, namespace)
        asked = Asked("watch", resource.plural, describe("watch", resource, None, namespace), path)
        timeout = Timeout(self._timeout.connect, timeout_seconds + WATCH_GRACE_SECONDS)
        call = Call("GET", path, tuple(query), timeout=timeout, stream=True)
        return WatchStream(self._send(call, asked), asked)

    def serves(self, resource: Resource) -> bool:
        """Whether the server knows this kind (its CustomResourceDefinition is established)."""
        try:
            found = self.request("get", resource.group_path)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(one["name"] == resource.plural for one in found.get("resources") or [])

    def version(self) -> tuple[Object, float | None]:
        """What the server says of its version, and its clock: Unix seconds, to the second.

        The clock is None when the answer has no usable date.
        """
        asked = Asked("get", "", "get /version", "/version")
        response = self._send(Call("GET", "/version", timeout=self._timeout), asked)
        date = response.headers.get("Date")
        clock = None
        with suppress(TypeError, ValueError):
            clock = parsedate_to_datetime(date).timestamp() if date else None
        return self._json(response, asked), clock

    # --- writing

    def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        dry_run: bool = False,
    ) -> Object:
        """The object as stored. Raises AlreadyExistsError (a ConflictError)."""
        meta = obj.get("metadata") or {}
        namespace = namespace or meta.get("namespace")
        if resource.namespaced and not namespace:
            raise ValueError(f"{resource.kind} {meta.get('name')} needs a namespace")
        named = str(meta.get("name") or meta.get("generateName") or "")
        return self._call(
            "create", resource, None, namespace, body=obj, query=_dry(dry_run), named=named
        )

    def replace(self, resource: Resource, obj: Object, *, subresource: str | None = None) -> Object:
        """PUT; with metadata.resourceVersion a ConflictError if it has changed since."""
        meta = obj["metadata"]
        return self._call(
            "update",
            resource,
            meta["name"],
            meta.get("namespace"),
            subresource=subresource,
            body=obj,
        )

    def json_patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        ops: Ops,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """RFC 6902. Raises PatchTestFailedError if a `test` (or a path) does not hold."""
        return self._patch(resource, name, namespace, ops, JSON_PATCH, subresource, _dry(dry_run))

    def merge_patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        body: Object,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """RFC 7396: lists are replaced whole."""
        return self._patch(resource, name, namespace, body, MERGE_PATCH, subresource, _dry(dry_run))

    def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        field_manager: str,
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply. Raises ConflictError if another owner has a field, unless `force`."""
        obj = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        meta = obj["metadata"]
        query = [("fieldManager", field_manager), ("force", str(force).lower()), *_dry(dry_run)]
        return self._patch(
            resource, meta["name"], meta.get("namespace"), obj, APPLY_PATCH, None, query
        )

    def _patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        body: Any,
        content_type: str,
        subresource: str | None,
        query: Pairs,
    ) -> Object:
        return self._call(
            "patch",
            resource,
            name,
            namespace,
            subresource=subresource,
            body=body,
            content_type=content_type,
            query=query,
        )

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str | None = None,
        uid: str | None = None,
    ) -> None:
        """`propagation`: Background, Foreground, Orphan. With `uid`, ConflictError if another
        object has taken the name. Raises NotFoundError.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            options["propagationPolicy"] = propagation
        if uid:
            options["preconditions"] = {"uid": uid}
        self._call("delete", resource, name, namespace, body=options)

    def exchange(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        """(status, body) of a bare path, whatever they are: behind the server's proxy an error is
        an answer. Raises ApiUnavailableError where none comes."""
        asked = Asked(method.lower(), "", f"{method} {path}", path)
        response = self._transport.send(Call(method, path, (), body, timeout=self._timeout))
        self._seen(asked, response.status)
        try:
            return response.status, response.read()
        finally:
            response.close()

    # --- underneath

    def request(
        self,
        verb: str,
        path: str,
        body: Any = None,
        *,
        query: Query = (),
        content_type: str = "application/json",
    ) -> Object:
        """A bare path. `verb` is get, create, update, patch or delete, or an HTTP method."""
        asked = Asked(verb.lower(), "", f"{verb.lower()} {path}", path)
        method = _METHODS.get(verb.lower(), verb.upper())
        call = Call(method, path, tuple(query), body, content_type, self._timeout)
        return self._json(self._send(call, asked), asked)

    def _call(
        self,
        verb: str,
        resource: Resource,
        name: str | None,
        namespace: str | None,
        *,
        subresource: str | None = None,
        body: Any = None,
        content_type: str = "application/json",
        query: Query = (),
        named: str | None = None,
    ) -> Object:
        namespace = namespace if resource.namespaced else None
        path = resource.path(name, namespace, subresource)
        what = describe(verb, resource, name or named, namespace, subresource)
        asked = Asked(verb, resource.plural, what, path)
        call = Call(_METHODS[verb], path, tuple(query), body, content_type, self._timeout)
        return self._json(self._send(call, asked), asked)

    def _send(self, call: Call, asked: Asked) -> Response:
        try:
            response = self._transport.send(call)
        except ApiUnavailableError as error:
            self._seen(asked, 0)
            raise ApiUnavailableError(
                f"{asked.what}: no answer from {self.server} ({error}). Is the API server up, and "
                "is the kubeconfig's address right?",
                verb=asked.verb,
                path=asked.path,
            ) from error
        self._seen(asked, response.status)
        if response.status < 400:
            return response
        try:
            body = response.read()
        except ApiUnavailableError:
            body = b""
        finally:
            response.close()
        raise failures.from_body(
            body,
            response.status,
            response.headers,
            what=asked.what,
            verb=asked.verb,
            path=asked.path,
        )

    def _json(self, response: Response, asked: Asked) -> Object:
        body = b""
        try:
            body = response.read()
            answer: Object = json.loads(body) if body else {}
        except (ApiUnavailableError, ValueError) as error:
            found = str(error) if isinstance(error, ApiError) else f"found {body[:80]!r}"
            raise ApiUnavailableError(
                f"{asked.what}: expected JSON from {self.server}, {found}",
                verb=asked.verb,
                path=asked.path,
            ) from error
        finally:
            response.close()
        return answer

    def _seen(self, asked: Asked, code: int) -> None:
        if self._on_request is not None:
            self._on_request(asked.verb, asked.resource, code)


def _selectors(label_selector: str, field_selector: str) -> list[tuple[str, str]]:
    pairs = (("labelSelector", label_selector), ("fieldSelector", field_selector))
    return [(key, value) for key, value in pairs if value]


def _dry(dry_run: bool) -> list[tuple[str, str]]:
    return [("dryRun", "All")] if dry_run else []
