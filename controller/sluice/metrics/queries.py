"""Who is asked about, and the pieces of PromQL that every dialect is made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sluice.api.names import limited

# Prometheus compiles a matcher's expression at every query, and URLs have limits.
MOST_NAMES = 50
MOST_CHARACTERS = 2000


@dataclass(frozen=True)
class Target:
    """One predictor."""

    namespace: str
    deployment: str
    predictor: str

    @property
    def service(self) -> str:
        """The Service that Seldon makes for it; a long name is a hash."""
        return limited(f"{self.deployment}-{self.predictor}")


Finder = Callable[[Mapping[str, str]], Target | None]
"""Which of some targets the labels of a series are about; None: none of them."""


@dataclass(frozen=True)
class Labels:
    """Label names that depend on the scrape configuration's relabelling."""

    namespace: str = "namespace"
    pod: str = "pod"


AS_USUAL = Labels()


def text(value: str) -> str:
    """A PromQL string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def any_of(names: Collection[str]) -> str | None:
    """An expression for one of the names; None when it would grow too long."""
    distinct = sorted(set(names))
    expression = "|".join(re.escape(name).replace("\\-", "-") for name in distinct)
    if len(distinct) > MOST_NAMES or len(expression) > MOST_CHARACTERS:
        return None
    return expression


def summed(by: Collection[str], selector: str, window: float | None) -> str:
    """The sum by labels, now or of the last values within `window` seconds."""
    if window is not None:
        selector = f"last_over_time({selector}[{max(1, round(window))}s])"
    return f"sum by ({', '.join(by)}) ({selector})"


def newest(by: Collection[str], selector: str) -> str:
    """When the newest sample was scraped, by labels."""
    return f"max by ({', '.join(by)}) (timestamp({selector}))"


def by_service(targets: Collection[Target]) -> dict[tuple[str, str], Target | None]:
    """Targets by (namespace, Service).

    A Service cannot be split back into its two names: both may have hyphens, and a long one is a
    hash. So it is looked up among those asked for. Where two of them have one Service (`a-b` + `c`
    and `a` + `b-c`), its requests cannot be told apart and are nobody's: None.
    """
    found: dict[tuple[str, str], Target | None] = {}
    for target in set(targets):
        key = (target.namespace, target.service)
        found[key] = None if key in found else target
    return found
