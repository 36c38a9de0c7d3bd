"""From the API server's refusals to Sluice's errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sluice.errors import (
    AlreadyExistsError,
    ApiError,
    ApiUnavailableError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
    PatchTestFailedError,
)

_BY_STATUS: dict[int, tuple[type[ApiError], str]] = {
    401: (ForbiddenError, "the credentials are not accepted"),
    403: (ForbiddenError, "not allowed"),
    404: (NotFoundError, "not found"),
    409: (ConflictError, "it has changed since it was read"),
    410: (GoneError, "that version is too old"),
    429: (ApiUnavailableError, "the API server asks for patience"),
}

# As the API server words it whatever authorizes: `User "x" cannot patch resource "y" in API group`.
_NO_RIGHT = re.compile(r'User "[^"]*" cannot \w+ resource')
_REJECTED_UNREAD = "the server rejected our request due to an error in our request"
# The server may quote a whole object.
_SAID_LENGTH = 800


def from_status(
    status: Mapping[str, Any],
    code: int,
    *,
    what: str,
    verb: str,
    path: str,
    retry_after: float | None = None,
) -> ApiError:
    """The error for a `Status` object. `what` says verb, kind and name, as in
    "get seldondeployments.machinelearning.seldon.io prod/iris".
    """
    reason = str(status.get("reason") or "")
    said = _said(status)
    kind, meaning = _classify(code, reason, status)
    message = f"{what}: {meaning} ({code}{' ' + reason if reason else ''})"
    if said:
        message += f"; the server said: {said}"
    details = status.get("details") or {}
    if retry_after is None and details.get("retryAfterSeconds"):
        retry_after = float(details["retryAfterSeconds"])
    return kind(message, status=code, reason=reason, verb=verb, path=path, retry_after=retry_after)


def lacks_right(error: ApiError) -> bool:
    """Whether a refusal means that a role lacks a verb.

    A namespace that is going away, a quota and an admission plugin refuse with 403 too.
    """
    return error.status == 403 and _NO_RIGHT.search(str(error)) is not None


def from_body(
    body: bytes, code: int, headers: Mapping[str, str], *, what: str, verb: str, path: str
) -> ApiError:
    """The error for an HTTP answer of 400 and above, whatever its body is."""
    retry_after = None
    with suppress(ValueError):
        retry_after = float(headers.get("Retry-After") or "")
    status = None
    with suppress(ValueError):
        status = json.loads(body)
    if not isinstance(status, dict):
        text = body.decode(errors="replace").strip()[:500]
        if code == 404 and text == "404 page not found":
            text = "it does not serve this kind at all. Is its CustomResourceDefinition installed?"
        status = {"message": text}
    return from_status(status, code, what=what, verb=verb, path=path, retry_after=retry_after)


def _classify(code: int, reason: str, status: Mapping[str, Any]) -> tuple[type[ApiError], str]:
    if reason == "AlreadyExists":
        return AlreadyExistsError, "it exists already"
    if reason == "Expired":
        return _BY_STATUS[410]
    if code == 403 and _denied_by_admission(status):
        # A webhook may refuse content with 403: that is no missing right.
        return InvalidError, "the content is rejected"
    if code == 422 and _patch_did_not_fit(status):
        return PatchTestFailedError, "it is not as the patch expects it"
    if known := _BY_STATUS.get(code):
        return known
    if code >= 500 or code == 0:
        return ApiUnavailableError, "the API server, or what it asks, failed"
    return InvalidError, "the content is rejected"


def _denied_by_admission(status: Mapping[str, Any]) -> bool:
    message = str(status.get("message") or "")
    return "denied the request" in message or "denied request" in message


def _patch_did_not_fit(status: Mapping[str, Any]) -> bool:
    """Whether a JSON Patch did not apply, as opposed to: its result was refused.

    The server tells the former only by telling nothing: a fixed sentence, no name, no causes.
    """
    message = str(status.get("message") or "")
    return not status.get("details") and message.startswith(_REJECTED_UNREAD)


def _said(status: Mapping[str, Any]) -> str:
    message = str(status.get("message") or "").strip()
    causes = (status.get("details") or {}).get("causes") or []
    extra = [
        f"{cause.get('field') or ''} {cause.get('message') or ''}".strip()
        for cause in causes
        if cause.get("message") and str(cause["message"]) not in message
    ]
    said = "; ".join(part for part in (message, *extra) if part)
    return said if len(said) <= _SAID_LENGTH else f"{said[:_SAID_LENGTH]}..."
