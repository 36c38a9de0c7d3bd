"""What an answer says about the model.

Three outcomes of a request: it went well, it failed, or it says nothing about the model. What is
the caller's fault (400, InvalidArgument, ...) is left out of `n` altogether: counted as a success
it would dilute the failures of whichever side gets more of it. It still counts as traffic.
"""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """What an answer says about the model. The values are columns of a reading."""

    GOOD = 0
    FAILED = 1
    NOT_BLAMED = 2


GRPC_NOT_BLAMED = {
    "Canceled": 1,
    "InvalidArgument": 3,
    "NotFound": 5,
    "AlreadyExists": 6,
    "PermissionDenied": 7,
    "FailedPrecondition": 9,
    "OutOfRange": 11,
    "Unauthenticated": 16,
}
"""gRPC statuses that are the caller's fault, by name, with their numbers."""

_NOT_BLAMED_NUMBERS = frozenset(str(number) for number in GRPC_NOT_BLAMED.values())


def outcome_of(code: str) -> Outcome:
    """What an HTTP status ("200") or the name of a gRPC status ("OK", "Unknown") means.

    An unknown word or number is a failure: what cannot be understood must not help a promotion.
    """
    if code == "OK" or (len(code) == 3 and code[0] in "123" and code.isdigit()):
        return Outcome.GOOD
    if code in GRPC_NOT_BLAMED or (len(code) == 3 and code[0] == "4" and code.isdigit()):
        return Outcome.NOT_BLAMED
    return Outcome.FAILED


def outcome_of_grpc(number: str) -> Outcome:
    """The same for a gRPC status by its number ("0", "14")."""
    if number == "0":
        return Outcome.GOOD
    return Outcome.NOT_BLAMED if number in _NOT_BLAMED_NUMBERS else Outcome.FAILED
