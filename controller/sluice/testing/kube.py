"""An API server in memory: a `Transport` for `sluice.kube.client.Client`.

It keeps what the loops depend on: resourceVersion, generation, uid, the status subresource,
optimistic locking, JSON Patch tests, pages, watches with bookmarks and 410, and faults on demand.
It validates nothing, runs no admission and no garbage collection.

    fake = FakeKube()
    client = fake.client()
    fake.fail_next("patch", status=409)
"""

from __future__ import annotations

import copy
import json
import queue
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from sluice.errors import ApiUnavailableError
from sluice.kube.client import APPLY_PATCH, JSON_PATCH, Client
from sluice.kube.transport import Call
from sluice.resources import (
    CRDS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
)
from sluice.testing.json_patch import PatchDoesNotFit, apply_merge, apply_patch

Object = dict[str, Any]
# A collection without its namespace: "/api/v1/pods". What serves it all is keyed by this.
_Key = tuple[str, str, str]  # collection, namespace, name

_CREATED = "2026-01-01T00:00:00Z"
_REASONS = {
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_END = None
_REVIEWS = (SELF_SUBJECT_ACCESS_REVIEWS.plural, SUBJECT_ACCESS_REVIEWS.plural)


class _Refusal(Exception):
    def __init__(self, code: int, message: str, reason: str = "", *, details: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "reason": reason or _REASONS.get(code, ""),
            "details": {"name": "object"} if details else {},
            "code": code,
        }


class FakeResponse:
    """A complete answer."""

    def __init__(self, status: int, body: Object, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self._body = json.dumps(body).encode()
        self.closed = False

    def read(self) -> bytes:
        return self._body

    def lines(self) -> Iterator[bytes]:
        yield from self._body.splitlines()

    def interrupt(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


class FakeWatch(FakeResponse):
    """An open watch: the test sends events and ends or breaks it."""

    def __init__(self, prefix: str, namespace: str) -> None:
        super().__init__(200, {})
        self._queue: queue.Queue[bytes | Exception | None] = queue.Queue()
        self._scope = (prefix, namespace)

    def concerns(self, key: _Key) -> bool:
        collection, namespace = self._scope
        return key[0] == collection and namespace in ("", key[1])

    def send(self, kind: str, obj: Object) -> None:
        """An event: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR (with a Status)."""
        self._queue.put(json.dumps({"type": kind, "object": obj}).encode())

    def end(self) -> None:
        """As the server does after `timeoutSeconds`."""
        self._queue.put(_END)

    def break_off(self) -> None:
        """As when the server dies."""
        self._queue.put(ApiUnavailableError("the stream broke off"))

    def interrupt(self) -> None:
        self.end()

    def lines(self) -> Iterator[bytes]:
        while (item := self._queue.get()) is not _END:
            if isinstance(item, Exception):
                raise item
            yield item


@dataclass
class _Fault:
    verb: str
    plural: str
    times: int
    answer: Callable[[], FakeResponse]


@dataclass(frozen=True)
class Seen:
    """A call as it came: `verb` in Kubernetes' words, `path` without the query."""

    verb: str
    path: str
    body: Any = None
    query: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Target:
    collection: str
    plural: str
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> _Key:
        return self.collection, self.namespace, self.name


def _target(path: str) -> _Target:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    root = 2 if parts[0] == "api" else 3
    prefix, rest = "/".join(parts[:root]), parts[root:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    rest += [""] * (3 - len(rest))
    return _Target(f"/{prefix}/{rest[0]}".rstrip("/"), rest[0], namespace, rest[1], rest[2])


class FakeKube:
    """The server. Thread-safe. `calls` is everything that was asked, in order."""

    server = "fake://kube"

    def __init__(self) -> None:
        self.calls: list[Seen] = []
        self.watches: list[FakeWatch] = []
        self.denied: set[tuple[str, str]] = set()
        self.user = "someone@example.com"
        """(verb, plural) that access reviews answer with no. Calls are let through all the same."""
        self.version: Object = {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        self.date = ""
        """The answers' `Date` header ("" for none)."""
        self.on_call: Callable[[Call], None] | None = None
        """Called before each answer: to change the world between two requests."""
        self._objects: dict[_Key, Object] = {}
        self._version = 100
        self._oldest = 0
        self._history: list[tuple[int, str, _Key, Object]] = []
        self._faults: list[_Fault] = []
        self._lock = threading.RLock()

    def client(self, **options: Any) -> Client:
        """A Client of this server."""
        return Client(self, **options)

    # --- what a test says

    def fail_next(
        self,
        verb: str,
        plural: str = "",
        *,
        status: int,
        message: str = "injected",
        reason: str = "",
        times: int = 1,
        retry_after: int | None = None,
    ) -> None:
        """Answer the next `times` calls of `verb` (on `plural`, if given) with `status`.

        Status 0: no answer at all.
        """

        def answer() -> FakeResponse:
            if status == 0:
                raise ApiUnavailableError(message)
            headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
            return FakeResponse(status, _Refusal(status, message, reason).body, headers)

        with self._lock:
            self._faults.append(_Fault(verb, plural, times, answer))

    def heal(self) -> None:
        """Take back all faults."""
        with self._lock:
            self._faults.clear()

    def compact(self) -> None:
        """Forget history: watches from before now, and their versions, get 410."""
        with self._lock:
            self._oldest = self._version
            self._history.clear()

    def end_watches(self, *, broken: bool = False) -> None:
        """End all open watches, as a server does in time, or (`broken`) as it does dying."""
        with self._lock:
            watches, self.watches = self.watches, []
        for watch in watches:
            if broken:
                watch.break_off()
            else:
                watch.end()

    def count(self, verb: str, plural: str = "") -> int:
        """How many calls of `verb` came, on `plural` if given."""
        with self._lock:
            return sum(
                seen.verb == verb and (not plural or _target(seen.path).plural == plural)
                for seen in self.calls
            )

    # --- Transport

    def send(self, call: Call) -> FakeResponse:
        query = dict(call.query)
        target = _target(call.path)
        verb = _VERBS.get(call.method) or (
            "watch" if "watch" in query else "get" if target.name else "list"
        )
        if self.on_call is not None:
            self.on_call(call)
        with self._lock:
            self.calls.append(Seen(verb, call.path, copy.deepcopy(call.body), query))
            if fault := self._fault(verb, target.plural):
                return fault.answer()
            try:
                return self._answer(verb, target, call, query)
            except _Refusal as refusal:
                return FakeResponse(refusal.code, refusal.body)

    def close(self) -> None:
        self.end_watches()

    def _fault(self, verb: str, plural: str) -> _Fault | None:
        for fault in self._faults:
            if fault.verb == verb and fault.plural in ("", plural):
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                return fault
        return None

    def _answer(
        self, verb: str, target: _Target, call: Call, query: dict[str, str]
    ) -> FakeResponse:
        if verb == "watch":
            return self._watch(target, int(query.get("resourceVersion") or 0))
        if call.path == "/version":
            return FakeResponse(200, self.version, {"Date": self.date} if self.date else {})
        if verb == "list" and not target.plural:
            return FakeResponse(200, self._discovered(call.path))
        if verb == "list":
            return FakeResponse(200, self._list(target, query))
        if verb == "get":
            return FakeResponse(200, self._stored(target))
        dry = "dryRun" in query
        if target.plural in _REVIEWS:
            asked = call.body["spec"]["resourceAttributes"]
            allowed = (asked["verb"], asked["resource"]) not in self.denied
            return FakeResponse(201, {**call.body, "status": {"allowed": allowed}})
        if target.plural == SELF_SUBJECT_REVIEWS.plural:
            return FakeResponse(201, {"status": {"userInfo": {"username": self.user}}})
        if verb == "create":
            return FakeResponse(201, self._create(target, call.body, dry))
        if verb == "delete":
            return FakeResponse(200, self._delete(target, call.body or {}, dry))
        if verb == "update":
            return FakeResponse(200, self._update(target, call.body, dry))
        return FakeResponse(200, self._patch(target, call, dry))

    def _discovered(self, path: str) -> Object:
        """What the CRDs that are there add to `/apis/<group>/<version>`."""
        group, _, version = path.removeprefix("/apis/").partition("/")
        names = [
            obj["spec"]["names"]["plural"]
            for key, obj in self._objects.items()
            if key[0] == CRDS.path()
            and obj["spec"]["group"] == group
            and any(v["name"] == version and v.get("served") for v in obj["spec"]["versions"])
        ]
        if not names:
            raise _Refusal(404, "the server could not find the requested resource")
        return {"kind": "APIResourceList", "resources": [{"name": name} for name in names]}

    # --- the store

    def _stored(self, target: _Target) -> Object:
        found = self._objects.get(target.key)
        if found is None:
            raise _Refusal(404, f'{target.plural} "{target.name}" not found')
        return copy.deepcopy(found)

    def _list(self, target: _Target, query: dict[str, str]) -> Object:
        keys = [
            key
            for key in sorted(self._objects)
            if key[0] == target.collection
            and target.namespace in ("", key[1])
            and _selected(self._objects[key], query)
        ]
        start = int(query.get("continue") or 0)
        limit = int(query.get("limit") or 0) or len(keys)
        meta: Object = {"resourceVersion": str(self._version)}
        if start + limit < len(keys):
            meta["continue"] = str(start + limit)
        page = keys[start : start + limit]
        return {"metadata": meta, "items": [copy.deepcopy(self._objects[key]) for key in page]}

    def _create(self, target: _Target, body: Object, dry: bool) -> Object:
        obj = copy.deepcopy(body)
        meta = obj.setdefault("metadata", {})
        if "name" not in meta:
            meta["name"] = f"{meta.get('generateName', '')}{uuid.uuid4().hex[:5]}"
        key = (target.collection, target.namespace, meta["name"])
        if key in self._objects:
            raise _Refusal(409, f'{target.plural} "{meta["name"]}" already exists', "AlreadyExists")
        if target.namespace:
            meta["namespace"] = target.namespace
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": _CREATED, "generation": 1}
        return self._store("ADDED", key, obj, dry)

    def _update(self, target: _Target, body: Object, dry: bool) -> Object:
        old = self._stored(target)
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            raise _Refusal(
                409,
                f'Operation cannot be fulfilled on {target.plural} "{target.name}": the object has '
                "been modified; please apply your changes to the latest version and try again",
            )
        new = copy.deepcopy(body)
        if target.subresource == "status":
            new = {**old, "status": new.get("status")}
        elif "status" in old:
            new["status"] = old["status"]
        kept = ("name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp")
        meta = dict(old["metadata"] if target.subresource else new.get("metadata") or {})
        meta |= {name: old["metadata"][name] for name in kept if name in old["metadata"]}
        if new.get("spec") != old.get("spec"):
            meta["generation"] += 1
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            return self._store("DELETED", target.key, {**new, "metadata": meta}, dry)
        same = {**new, "metadata": {**meta, "resourceVersion": old["metadata"]["resourceVersion"]}}
        if same == old:
            return old
        return self._store("MODIFIED", target.key, {**new, "metadata": meta}, dry)

    def _patch(self, target: _Target, call: Call, dry: bool) -> Object:
        if call.content_type == APPLY_PATCH and target.key not in self._objects:
            return self._create(target, call.body, dry)
        old = self._stored(target)
        if call.content_type == JSON_PATCH:
            try:
                new: Object = apply_patch(old, call.body)
            except PatchDoesNotFit as error:
                # The real server does not say more either.
                text = "the server rejected our request due to an error in our request"
                raise _Refusal(422, text, details=False) from error
        else:
            new = apply_merge(old, call.body)
        return self._update(target, new, dry)

    def _delete(self, target: _Target, options: Object, dry: bool) -> Object:
        obj = self._stored(target)
        uid = (options.get("preconditions") or {}).get("uid")
        if uid and uid != obj["metadata"]["uid"]:
            raise _Refusal(409, f"the UID in the precondition ({uid}) does not match")
        if obj["metadata"].get("finalizers"):
            obj["metadata"].setdefault("deletionTimestamp", _CREATED)
            return self._store("MODIFIED", target.key, obj, dry)
        return self._store("DELETED", target.key, obj, dry)

    def _store(self, event: str, key: _Key, obj: Object, dry: bool) -> Object:
        if dry:
            return obj
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        if event == "DELETED":
            self._objects.pop(key, None)
        else:
            self._objects[key] = obj
        self._history.append((self._version, event, key, copy.deepcopy(obj)))
        for watch in self.watches:
            if watch.concerns(key):
                watch.send(event, obj)
        return copy.deepcopy(obj)

    def _watch(self, target: _Target, since: int) -> FakeResponse:
        watch = FakeWatch(target.collection, target.namespace)
        if 0 < since < self._oldest:
            watch.send("ERROR", _Refusal(410, f"too old resource version: {since}").body)
            watch.end()
            return watch
        for version, event, key, obj in self._history:
            if version > since and watch.concerns(key):
                watch.send(event, obj)
        self.watches.append(watch)
        return watch


def _selected(obj: Object, query: dict[str, str]) -> bool:
    """Equality selectors only: `a=b,c=d` on labels and on fields by their path."""
    labels = obj["metadata"].get("labels") or {}
    for term in filter(None, (query.get("labelSelector") or "").split(",")):
        name, _, value = term.replace("==", "=").partition("=")
        if labels.get(name) != value:
            return False
    for term in filter(None, (query.get("fieldSelector") or "").split(",")):
        name, _, value = term.partition("=")
        found: Any = obj
        for part in name.split("."):
            found = (found or {}).get(part)
        if found != value:
            return False
    return True
