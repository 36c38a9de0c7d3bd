"""Queries against Prometheus, with this project's errors, timeouts and credentials."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from sluice.errors import MetricsError, MetricsUnavailableError, QueryError

Observe = Callable[[float, str], None]
"""Called after each query with its seconds and "" or a kind of error: `timeout`, `unreachable`,
`unavailable`, `refused`, `credentials`, `answer`."""


_NEVER_AGAIN = Retry(total=0, read=False)


@dataclass(frozen=True)
class Series:
    """One element of an instant vector; `value` may be NaN or infinite."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, and between two pieces of the answer."""

    connect: float = 3.0
    read: float = 10.0


@dataclass(frozen=True)
class Access:
    """How to be let in. `token_file` is read at every query: such tokens are rotated."""

    token: str = field(default="", repr=False)
    token_file: Path | None = None
    ca_file: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class _Bearer(AuthBase):
    """Adds the token. Being an auth object, it also keeps a .netrc from replacing the header."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._access.token
        if self._access.token_file is not None:
            try:
                token = self._access.token_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise _failure(
                    "credentials",
                    f"expected a bearer token for Prometheus in {self._access.token_file}, but it "
                    f"cannot be read ({type(error).__name__}): check the mounted secret",
                ) from error
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request


class PrometheusClient:
    """Asks one Prometheus (or Thanos, Mimir, ...: whatever serves its query API) at `url`.

    Not retried: the next pulse asks again anyway, and what it reads covers the gap. One query at
    a time (not thread-safe). `adapter` replaces the transport in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        access: Access | None = None,
        timeouts: Timeouts | None = None,
        observe: Observe | None = None,
        adapter: BaseAdapter | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.url = url.rstrip("/")
        access = access or Access()
        self._timeouts = timeouts or Timeouts()
        self._observe = observe
        self._timer = timer
        self._warnings: tuple[str, ...] = ()
        self._session = requests.Session()
        if access.ca_file is not None:
            self._session.verify = str(access.ca_file)
        self._session.hooks["response"].append(self._check)
        self._connect = PrometheusConnect(
            self.url,
            headers=dict(access.headers),
            auth=_Bearer(access),
            session=self._session,
            retry=_NEVER_AGAIN,
        )
        # The library has mounted an adapter for this very URL; the last one mounted there counts.
        self._session.mount(self.url, adapter or HTTPAdapter(max_retries=_NEVER_AGAIN))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What Prometheus warned of in its last answer (such as a store that did not answer)."""
        return self._warnings

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def query(self, promql: str, at: float | None) -> list[Series]:
        """The instant vector of `promql` at Unix time `at` (seconds; None: Prometheus' own now).

        Raises MetricsUnavailableError (unreachable, timed out, 429, 5xx) or QueryError.
        """
        return [
            Series(element["metric"], _number(element["value"][1]))
            for element in self.vector(promql, at)
        ]

    def vector(self, promql: str, at: float | None) -> list[dict[str, Any]]:
        """As `query`, but elements as Prometheus sends them; for answers of many thousand."""
        return self._timed(lambda: self._ask(promql, at))

    def matrix(self, promql: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The same query at `start`, `start + step`, ... up to `end` (Unix seconds) in one answer.

        Elements as Prometheus sends them: {"metric": labels, "values": [[time, text], ...]}; a
        moment at which `vector` would not have the series is left out. Raises as `query`.
        """
        return self._timed(lambda: self._ask_range(promql, start, end, step))

    def _timed(self, ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        started = self._timer()
        kind = "answer"
        try:
            result = ask()
            kind = ""
            return result
        except MetricsError as error:
            kind = getattr(error, "kind", "answer")
            raise
        finally:
            if self._observe is not None:
                self._observe(self._timer() - started, kind)

    def _ask(self, promql: str, at: float | None) -> list[dict[str, Any]]:
        self._warnings = ()
        parameters = {"timeout": self._limit}
        if at is not None:
            parameters["time"] = f"{at:.3f}"
        try:
            result = self._connect.custom_query(promql, params=parameters, timeout=self._limits)
        except requests.RequestException as error:
            raise self._no_answer(error) from error
        return _elements(result, "value", "an instant vector", promql)

    def _ask_range(
        self, promql: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        self._warnings = ()
        # The library rounds its times to seconds; ours take their place.
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}"}
        unused = datetime.fromtimestamp(0, UTC)
        try:
            result = self._connect.custom_query_range(
                promql,
                unused,
                unused,
                f"{step:.3f}",
                params={**times, "timeout": self._limit},
                timeout=self._limits,
            )
        except requests.RequestException as error:
            raise self._no_answer(error) from error
        return _elements(result, "values", "a range of values", promql)

    @property
    def _limits(self) -> tuple[float, float]:
        return self._timeouts.connect, self._timeouts.read

    @property
    def _limit(self) -> str:
        return f"{max(1, round(self._timeouts.read))}s"

    def _no_answer(self, error: requests.RequestException) -> MetricsError:
        cause = _innermost(error)
        # A time limit that strikes inside the body comes as a ConnectionError.
        if isinstance(error, requests.Timeout) or isinstance(cause, TimeoutError):
            return _failure(
                "timeout",
                f"Prometheus at {self.url} did not answer within {self._timeouts.connect:g} s to "
                f"connect and {self._timeouts.read:g} s to read: is it overloaded or cut off?",
            )
        said = str(cause).split(">: ")[-1][:200]
        return _failure(
            "unreachable",
            f"Prometheus at {self.url} cannot be reached ({type(cause).__name__}: {said}): check "
            "the address, the network policy and whether it runs",
        )

    def _check(self, answer: requests.Response, **_: object) -> None:
        """Judge an answer before the library sees it, and decode it once for both."""
        status = answer.status_code
        body: Any = None
        try:
            body = json.loads(answer.content)
        except ValueError:
            if status == 200:
                raise _failure(
                    "answer",
                    f"expected JSON from {self.url}, found {answer.content[:80]!r}: is this the "
                    "address of Prometheus, and not of a login page?",
                ) from None
        if status != 200:
            raise self._refusal(status, body)
        if not isinstance(body, dict) or "result" not in (body.get("data") or ()):
            raise _failure("answer", f"expected a query result from {self.url}, found other JSON")
        self._warnings = tuple(str(text) for text in body.get("warnings") or ())
        answer.json = lambda **_kw: body  # type: ignore[method-assign]

    def _refusal(self, status: int, body: Any) -> MetricsError:
        said = f": {body['error']}" if isinstance(body, dict) and body.get("error") else ""
        if status >= 500 or status in (408, 429):
            return _failure("unavailable", f"Prometheus at {self.url} answered HTTP {status}{said}")
        if status in (401, 403):
            return _failure(
                "credentials",
                f"Prometheus at {self.url} refused the credentials with HTTP {status}{said}: check "
                "the token, its file and the headers",
            )
        if 300 <= status < 400:
            return _failure(
                "refused",
                f"{self.url} redirects (HTTP {status}), and credentials are not sent elsewhere: "
                "give the final address",
            )
        return _failure("refused", f"Prometheus refused the query with HTTP {status}{said}")


class _Passing(MetricsUnavailableError):
    kind = ""


class _Lasting(QueryError):
    kind = ""


def _failure(kind: str, message: str) -> _Passing | _Lasting:
    """An error that remembers its kind, for the metric of failed queries."""
    passing = kind in ("timeout", "unreachable", "unavailable")
    error = _Passing(message) if passing else _Lasting(message)
    error.kind = kind
    return error


def _innermost(error: BaseException) -> BaseException:
    """The cause: requests wraps it three times, with addresses of objects."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _elements(result: Any, key: str, expected: str, promql: str) -> list[dict[str, Any]]:
    if not isinstance(result, list) or any(key not in element for element in result[:1]):
        raise _failure(
            "answer", f"expected {expected} from Prometheus, found something else, for {promql}"
        )
    return result


def _number(text: object) -> float:
    """A sample value: Prometheus sends them as text, NaN and +Inf included."""
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
