"""Names that Seldon derives, as far as more than one package needs them."""

from __future__ import annotations

import hashlib

NAME_LIMIT = 63


def limited(name: str) -> str:
    """The name up to 63 characters, else what Seldon makes of it: `seldon-` and its MD5."""
    if len(name) <= NAME_LIMIT:
        return name
    return "seldon-" + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
