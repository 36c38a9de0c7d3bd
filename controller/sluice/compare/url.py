"""A version of a model behind a URL."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from sluice.addresses import inside
from sluice.compare.answers import Answer
from sluice.errors import UsageError

PATH = "/api/v1.0/predictions"
MOST_BYTES = 4 * 1024 * 1024
"""Of one answer: what a model says may not fill the memory of who asks it."""


class Url:
    """A version behind a URL. Without a path of its own the URL gets `path`.

    `timeout` (seconds) is for one answer. `outside`: a connection that ends at an address of the
    machine's own, or of its neighbours, is given up; the name is somebody else's to point there.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        parallel: int,
        headers: dict[str, str] | None = None,
        path: str = PATH,
        outside: bool = False,
    ) -> None:
        try:
            parsed = urllib3.util.parse_url(url)
        except urllib3.exceptions.LocationParseError as error:
            raise UsageError(f"{url}: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"{url}: expected a URL such as http://iris-v1:8000")
        self.where = url if parsed.path not in (None, "/") else url.rstrip("/") + path
        # A user did not send these: Seldon's request logger leaves them out, and a sample with it.
        own = {"Content-Type": "application/json", "Seldon-Skip-Logging": "true"}
        self._headers = {**own, **(headers or {})}
        self._sockets = _Sockets(outside)
        # A retry would hide an error and double a latency.
        self._pool = urllib3.PoolManager(
            maxsize=parallel,
            retries=False,
            timeout=urllib3.Timeout(connect=min(5.0, timeout), read=timeout),
        )
        self._pool.pool_classes_by_scheme = self._sockets.pools()

    def ask(self, body: str) -> Answer:
        """The answer to one request, or an Answer with its trouble."""
        begun = time.perf_counter()
        try:
            got = self._pool.request(
                "POST", self.where, body=body.encode(), headers=self._headers,
                preload_content=False,
            )  # fmt: skip
            try:
                said = got.read(MOST_BYTES + 1)
                if len(said) > MOST_BYTES:
                    got.close()
            finally:
                got.release_conn()
        except (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.NewConnectionError):
            return _nobody(begun)
        except urllib3.exceptions.TimeoutError:
            return Answer(0, time.perf_counter() - begun, trouble="timeout")
        except (urllib3.exceptions.HTTPError, OSError):
            return _nobody(begun)
        if len(said) > MOST_BYTES:
            too_long = f"more than {MOST_BYTES >> 20} MiB"
            return Answer(0, time.perf_counter() - begun, trouble=too_long)
        return Answer(got.status, time.perf_counter() - begun, said)

    def close(self) -> None:
        """Cut the requests under way; those after it find nobody."""
        self._sockets.cut()
        self._pool.clear()


class _Sockets:
    """The connections of one Url: looked at when they are made, and cut together."""

    def __init__(self, outside: bool) -> None:
        self._outside = outside
        self._lock = threading.Lock()
        # Weak: a connection can be closed, and its answer still be read from the socket.
        self._live: WeakSet[socket.socket] = WeakSet()
        self._closed = False

    def pools(self) -> dict[str, Any]:
        """urllib3's pools, with connections that come by here."""
        sockets = self

        class Http(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                sockets.made(self)

        class Https(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                sockets.made(self)

        http = type("Pool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": Http})
        https = type("TlsPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": Https})
        return {"http": http, "https": https}

    def made(self, connection: HTTPConnection) -> None:
        """A connection was made. Raises OSError where it may not be used."""
        live = connection.sock
        if live is None:
            return
        with self._lock:
            refused = self._closed or (self._outside and inside(str(live.getpeername()[0])))
            if not refused:
                self._live.add(live)
        if refused:
            connection.close()
            raise OSError("this address may not be asked")

    def cut(self) -> None:
        with self._lock:
            self._closed = True
            live = list(self._live)
        for one in live:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _nobody(begun: float) -> Answer:
    return Answer(0, time.perf_counter() - begun, trouble="no connection", reached=False)
