"""Objects of the API server in less memory: what they have in common is kept once.

The parser makes every string anew for every object, and objects of one kind are mostly the same
strings. Half of a ModelRollout's memory is that.
"""

from __future__ import annotations

import sys
from typing import Any

# Longer strings are rarely the same in two objects. Characters.
LONGEST = 64
# Values known at a time. Names, uids and versions are among them, and push the others out now and
# then: those are then kept once more.
MOST = 8192


class Shared:
    """Strings seen before, for `of`; may be used from any thread."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def of(self, obj: dict[str, Any]) -> dict[str, Any]:
        """An equal object in which field names and short strings are shared with others."""
        return {sys.intern(key): self._value(value) for key, value in obj.items()}

    def _value(self, value: Any) -> Any:
        if type(value) is dict:
            return self.of(value)
        if type(value) is list:
            return [self._value(inner) for inner in value]
        if type(value) is str and len(value) <= LONGEST:
            if len(self._values) >= MOST:
                self._values.clear()
            return self._values.setdefault(value, value)
        return value
