"""Where the sample goes: a key of a ConfigMap, or a file. Either is replaced as a whole."""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sluice.errors import ApiError, ForbiddenError, InvalidError, NotFoundError, UsageError
from sluice.kube.client import Client
from sluice.resources import CONFIG_MAPS

ANNOTATIONS = "sluice.dev/captured-"
"""Before `seen`, `kept`, `from`, `to` and `deployment`."""
_MOST_OF_A_CONFIG_MAP = 1024 * 1024


class Place(Protocol):
    """Where a sample is written. Methods raise SluiceError."""

    where: str
    zipped: bool

    def look(self) -> bool:
        """Whether a sample is there already; with an error for what would go wrong later."""
        ...

    def room(self) -> int | None:
        """How many bytes fit; None: any number. Raises SluiceError."""
        ...

    def write(self, content: bytes, about: Mapping[str, str]) -> None:
        """Replace what is there."""
        ...


class InConfigMap:
    """A key of a ConfigMap's binaryData; other keys are left alone.

    Takes the rights to get and to patch it, and only where there is none that to create.
    """

    zipped = True

    def __init__(self, client: Client, namespace: str, name: str, key: str) -> None:
        self._client, self._namespace, self._name, self._key = client, namespace, name, key
        self.where = f"ConfigMap {namespace}/{name}, key {key}"

    def look(self) -> bool:
        """See Place. Raises ForbiddenError that says which verb is missing, and UsageError where
        the ConfigMap may not be changed."""
        found = self._get()
        if found is None:
            self._create()
            return False
        if found.get("immutable"):
            raise UsageError(
                f"{self.where}: expected a ConfigMap that can be changed, found `immutable: true`: "
                "name another one"
            )
        # As it will be written, so that a missing right shows now and not after an hour.
        self._patch({"metadata": {"annotations": {}}}, dry_run=True)
        values = {**(found.get("data") or {}), **(found.get("binaryData") or {})}
        return bool(values.get(self._key))

    def room(self) -> int | None:
        """See Place: 1 MiB without the other keys. Raises ApiError."""
        found = self._get() or {}
        texts, packed = found.get("data") or {}, found.get("binaryData") or {}
        others = sum(len(str(text).encode()) for key, text in texts.items() if key != self._key)
        others += sum(len(str(text)) * 3 // 4 for key, text in packed.items() if key != self._key)
        return max(0, _MOST_OF_A_CONFIG_MAP - others)

    def write(self, content: bytes, about: Mapping[str, str]) -> None:
        """See Place. Raises ApiError."""
        body: dict[str, Any] = {
            "metadata": {"annotations": {ANNOTATIONS + name: text for name, text in about.items()}},
            "binaryData": {self._key: base64.b64encode(content).decode()},
            # The same key in both would be refused.
            "data": {self._key: None},
        }
        try:
            self._patch(body)
        except NotFoundError:
            self._create()
            self._patch(body)

    def _get(self) -> dict[str, Any] | None:
        try:
            return self._client.get(CONFIG_MAPS, self._name, self._namespace)
        except NotFoundError:
            return None
        except ForbiddenError as error:
            raise self._lacks("get", error) from error

    def _patch(self, body: dict[str, Any], *, dry_run: bool = False) -> None:
        try:
            self._client.merge_patch(
                CONFIG_MAPS, self._name, self._namespace, body, dry_run=dry_run
            )
        except ForbiddenError as error:
            raise self._lacks("patch", error) from error

    def _create(self) -> None:
        try:
            self._client.create(CONFIG_MAPS, {"metadata": {"name": self._name}}, self._namespace)
        except ForbiddenError as error:
            raise ForbiddenError(
                f"there is no ConfigMap {self._namespace}/{self._name}, and it may not be created "
                f"({error}): make it once, `kubectl -n {self._namespace} create configmap "
                f"{self._name}`, or allow the verb create on configmaps",
                status=error.status,
                reason=error.reason,
                verb="create",
            ) from error

    def _lacks(self, verb: str, error: ApiError) -> ForbiddenError:
        return ForbiddenError(
            f"{self.where}: the verb {verb} on configmaps is missing ({error}): a Role with "
            f"resourceNames [{self._name}] and the verbs get and patch is enough",
            status=error.status,
            reason=error.reason,
            verb=verb,
        )


class InFile:
    """A file; packed with gzip if its name ends with `.gz`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.where = str(path)
        self.zipped = path.suffix == ".gz"

    def look(self) -> bool:
        """See Place. Raises UsageError where it cannot be written."""
        folder = self._path.parent
        if self._path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UsageError(
                f"--output {self._path}: expected a file in a folder that can be written to"
            )
        return self._path.is_file() and self._path.stat().st_size > 0

    def room(self) -> int | None:
        """See Place: any number."""
        return None

    def write(self, content: bytes, about: Mapping[str, str]) -> None:
        """See Place: whoever reads it finds all of the old or all of the new one."""
        del about  # a file has no place for it
        try:
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written: {error}") from error


def is_lasting(error: Exception) -> bool:
    """Whether trying again helps nothing: the content or the right is what is wrong."""
    return isinstance(error, ForbiddenError | InvalidError | UsageError)
