"""Every exception Sluice raises on purpose, in one tree.

A message says what was expected, what was found, where, and what to do. The command line turns each
class into an exit code (`SluiceError.exit_code`), the loops into a retry, a hold, or a `Stalled`
condition. Imports nothing of Sluice.
"""

from __future__ import annotations


class SluiceError(Exception):
    """The root. `exit_code` is what the `sluice` command ends with when nothing handles it."""

    exit_code = 1


class UsageError(SluiceError):
    """The command line or a file given on it is wrong."""

    exit_code = 2


class NotAllowedError(SluiceError):
    """The command is understood, but not possible now (wrong phase, stale revision, a gate)."""

    exit_code = 4


class WaitTimeoutError(SluiceError):
    """What was waited for did not come in time."""

    exit_code = 5


class SpecError(SluiceError):
    """A resource is well-formed but cannot work. Becomes the condition `Stalled`.

    `reason` is the condition's CamelCase reason, the message its sentence.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ApiError(SluiceError):
    """The Kubernetes API server refused a request, or could not be reached.

    `status` is the HTTP status (0: no answer), `reason` the server's Status.reason, `verb` and
    `path` what was asked, `retry_after` the seconds the server asks to wait (None: it says none).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        verb: str = "",
        path: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.verb = verb
        self.path = path
        self.retry_after = retry_after


class NotFoundError(ApiError):
    """404."""


class ConflictError(ApiError):
    """409: the object has changed since it was read. Read again, decide again."""


class AlreadyExistsError(ConflictError):
    """409 AlreadyExists on create."""


class GoneError(ApiError):
    """410: the resourceVersion is too old; list again."""


class InvalidError(ApiError):
    """400 or 422: the server, or an admission webhook, rejects the content."""


class PatchTestFailedError(InvalidError):
    """422: a JSON Patch `test` operation did not hold: the object is not as it was read."""


class ForbiddenError(ApiError):
    """401 or 403: a right is missing. The message names verb and resource."""


class ApiUnavailableError(ApiError):
    """No answer, a timeout, 429 or a 5xx (a webhook that is down included): try again later."""


class MetricsError(SluiceError):
    """Prometheus gave no usable answer. Never a reason to roll back: it holds."""


class MetricsUnavailableError(MetricsError):
    """Prometheus could not be reached, timed out, or answered with 5xx."""


class QueryError(MetricsError):
    """Prometheus refused the query (4xx) or the answer has no meaning here."""


class WebhookError(SluiceError):
    """A gate's webhook gave no usable answer; trying again may help."""


class WebhookDeniedError(WebhookError):
    """The webhook may not be asked (its host, its key); trying again will not help."""


class RequestsError(SluiceError):
    """The requests of a preflight are not there, or are none.

    `reason` is CamelCase, the message a sentence without anything of the requests.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnknownZoneError(SluiceError):
    """A time zone that the database of this machine does not have."""


class ToolError(SluiceError):
    """A real part (API server, Prometheus, Envoy, ...) is missing and could not be made."""


class SandboxError(SluiceError):
    """The sandbox could not be brought up, is not up, or a part of it died."""
