"""profile.json: the bins of every variable, and how training filled them.

Text, sorted and hashed, so that the same training gives the same bytes and a change by hand is
noticed. `counts` are rows per cell; None where training knows none (tags of requests).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice_model.bins import Bins, from_content

FORMAT = 1
FEATURE, TAG, PREDICTION, SCORE = "feature", "tag", "prediction", "score"
KINDS = (FEATURE, TAG, PREDICTION, SCORE)


class ProfileError(ValueError):
    """A profile that cannot be used; says what was expected, what was found and what to do."""


@dataclass(frozen=True)
class Variable:
    """One thing that is counted. `kind` is one of KINDS."""

    kind: str
    name: str
    bins: Bins
    counts: tuple[int, ...] | None

    def content(self) -> dict[str, Any]:
        counts = None if self.counts is None else list(self.counts)
        return {"kind": self.kind, "name": self.name, **self.bins.content(), "counts": counts}


@dataclass(frozen=True)
class Profile:
    """See the module. `columns` are the model's input columns in order, observed or not.

    `output_key` is where the predictions are in an answer that is a dict.
    """

    name: str
    version: str
    rows: int
    columns: tuple[str, ...]
    variables: tuple[Variable, ...]
    slices: tuple[str, ...] = ()
    output_key: str | None = None

    def of_kind(self, kind: str) -> list[Variable]:
        return [one for one in self.variables if one.kind == kind]

    @property
    def prediction(self) -> Variable | None:
        return next(iter(self.of_kind(PREDICTION)), None)

    @property
    def score(self) -> Variable | None:
        return next(iter(self.of_kind(SCORE)), None)

    @property
    def hash(self) -> str:
        """Of everything in the profile: 16 hexadecimal digits."""
        return _digest(self._content())

    @property
    def bins_hash(self) -> str:
        """Of the bins alone: where two models have the same, their counts can be compared."""
        keep = [{**one.content(), "counts": None} for one in self.variables]
        return _digest({"variables": keep, "slices": list(self.slices)})

    def text(self) -> str:
        """What the file holds."""
        return json.dumps({**self._content(), "hash": self.hash}, indent=1) + "\n"

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "rows": self.rows,
            "columns": list(self.columns),
            "output_key": self.output_key,
            "slices": list(self.slices),
            "variables": [one.content() for one in self.variables],
        }


def load(path: Path) -> Profile:
    """Read and check a profile. Raises ProfileError."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise ProfileError(
            f"expected the training profile {path}, found no such file: make one with "
            "`python -m sluice_model profile` and copy it into the image beside the model's class"
        ) from None
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ProfileError(f"{path}: expected a profile of format {FORMAT}: make it anew")
    try:
        profile = Profile(
            name=str(found["name"]),
            version=str(found["version"]),
            rows=int(found["rows"]),
            columns=tuple(found["columns"]),
            variables=tuple(_variable(one) for one in found["variables"]),
            slices=tuple(found["slices"]),
            output_key=found["output_key"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProfileError(f"{path} is no profile: {type(error).__name__}: {error}") from error
    check(profile)
    if found.get("hash") != profile.hash:
        raise ProfileError(
            f"{path}: expected the hash {profile.hash} for this content, found "
            f"{found.get('hash')}: it was changed after it was made; make it anew"
        )
    return profile


def check(profile: Profile) -> None:
    """Raises ProfileError where parts of a profile do not fit each other."""
    seen: set[tuple[str, str]] = set()
    for one in profile.variables:
        if one.kind not in KINDS or (one.kind, one.name) in seen:
            raise ProfileError(f"{one.kind} {one.name}: an unknown kind, or there twice")
        seen.add((one.kind, one.name))
        if one.counts is not None and len(one.counts) != one.bins.size:
            raise ProfileError(
                f"{one.kind} {one.name}: expected {one.bins.size} counts, found {len(one.counts)}"
            )
        if one.kind == FEATURE and one.name not in profile.columns:
            raise ProfileError(f"feature {one.name} is none of the columns {profile.columns}")
    names = {one.name for one in profile.variables if one.kind in (FEATURE, TAG)}
    if unknown := sorted(set(profile.slices) - names):
        raise ProfileError(
            f"slices {unknown}: expected names of observed features or tags: {sorted(names)}"
        )


def _variable(content: dict[str, Any]) -> Variable:
    counts = content["counts"]
    return Variable(
        kind=str(content["kind"]),
        name=str(content["name"]),
        bins=from_content(content),
        counts=None if counts is None else tuple(int(n) for n in counts),
    )


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
