"""`python -m sluice_model`: make a training profile, and look at one."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sluice_model import making, profile
from sluice_model.likeness import MOST_OUTSIDE, likeness
from sluice_model.making import Wish
from sluice_model.profile import Profile, ProfileError
from sluice_model.series import Plan
from sluice_model.serve import model_class

_BAR = 30


def main(words: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 an error or, with --check, another profile, 2 wrong usage."""
    given = _parser().parse_args(words)
    try:
        return int(given.run(given))
    except ProfileError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sluice_model", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    make = commands.add_parser("profile", help="make a profile out of training data")
    make.set_defaults(run=_profile)
    add = make.add_argument
    add("training", type=Path, help="CSV file with a header")
    add("--out", type=Path, default=Path("profile.json"), help="file to write")
    add("--target", help="column to predict; it is no feature")
    add("--model", help="Module.Class as Seldon would serve it: for predictions and scores")
    add("--holdout", type=Path, help="CSV file the model did not see; default: the training data")
    add("--name", default="model", help="name of the model")
    add("--version", default="", help="version of the data or the model")
    add("--feature", action="append", default=[], help="observe only these; may be repeated")
    add("--leave-out", action="append", default=[], help="a feature not to observe")
    add("--categorical", action="append", default=[], help="a feature whose numbers are names")
    add("--hashed", action="append", default=[], help="a feature whose categories are hashed")
    add("--salt", default="", help="salt of the hashes; default: the feature's name")
    add("--bins", type=int, default=10, help="bins of a number, without those out of range")
    add("--binning", choices=[making.QUANTILE, making.FIXED], default=making.QUANTILE)
    add("--categories", type=int, default=20, help="the most frequent ones; the rest is 'other'")
    add("--least-rows", type=int, default=10, help="rarer categories are 'other'")
    add("--slice", action="append", default=[], help="a feature or tag to slice by")
    add("--tag", action="append", default=[], metavar="NAME=A,B", help="a tag of meta.tags")
    add("--output-key", help="where the predictions are in an answer that is a dict")
    add("--max-series", type=int, help="limit over all series of a pod")
    add("--like", type=Path, help="profile of the version before: keep its bins where they fit")
    add(
        "--most-outside", type=float, default=MOST_OUTSIDE, metavar="SHARE",
        help="with --like: warn where more of the rows lie outside of the bins kept",
    )  # fmt: skip
    add("--check", action="store_true", help="compare with the file instead of writing it")
    show = commands.add_parser("show", help="show a profile's bins, counts and series")
    show.set_defaults(run=_show)
    show.add_argument("file", type=Path)
    return parser


def _profile(given: argparse.Namespace) -> int:
    if given.bins < 2 or given.categories < 1:
        raise ProfileError("expected at least 2 --bins and 1 of --categories")
    if not 0 <= given.most_outside < 1:
        raise ProfileError(
            f"expected a share below 1 for --most-outside, found {given.most_outside}"
        )
    like = profile.load(given.like) if given.like else None
    wish = Wish(
        name=given.name,
        version=given.version,
        target=given.target,
        observe=tuple(given.feature),
        leave_out=tuple(given.leave_out),
        categorical=tuple(given.categorical),
        hashed=tuple(given.hashed),
        salt=given.salt,
        bins=given.bins,
        binning=given.binning,
        categories=given.categories,
        least_rows=given.least_rows,
        slices=tuple(given.slice),
        tags=dict(_tag(text) for text in given.tag),
        output_key=given.output_key,
        limit=given.max_series,
        like=like,
    )
    training = making.read_csv(given.training)
    held_out = making.read_csv(given.holdout) if given.holdout else None
    made = making.make(training, wish, _model(given.model), held_out)
    if like is not None:
        _say_likeness(made, like, given)
    if given.check:
        same = given.out.is_file() and given.out.read_text() == made.text()
        print(f"{given.out}: {'as made here' if same else 'not as made here'}")
        return 0 if same else 1
    given.out.write_text(made.text())
    print(f"{given.out}: {made.rows} rows, {Plan(made).total} series a pod, hash {made.hash}")
    return 0


def _say_likeness(made: Profile, like: Profile, given: argparse.Namespace) -> None:
    found = likeness(made, like, given.most_outside)
    same = "the same" if made.bins_hash == like.bins_hash else "not all the same"
    print(f"{given.like}: hash {like.hash}, bins {same}")
    print("\n".join(f"  {line}" for line in found.lines()))
    for line in found.outside:
        sys.stderr.write(f"warning: {line}; make this one without --like if that is to stay\n")


def _tag(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, values = text.partition("=")
    if not name or not values:
        raise ProfileError(f"--tag {text}: expected NAME=A,B with the values to tell apart")
    return name, tuple(values.split(","))


def _model(name: str | None) -> Any:
    if name is None:
        return None
    sys.path.insert(0, str(Path.cwd()))
    model = model_class(name)()
    with contextlib.suppress(NotImplementedError, AttributeError):
        model.load()
    return model


def _show(given: argparse.Namespace) -> int:
    found = profile.load(given.file)
    print("\n".join(_lines(found)))
    return 0


def _lines(found: Profile) -> list[str]:
    plan = Plan(found)
    lines = [
        f"{found.name} {found.version}".rstrip(),
        f"hash {found.hash}, bins {found.bins_hash}, {found.rows} rows of training",
        f"{plan.total} series a pod: {plan.size} counted, {len(plan.reference)} of training",
        f"slices: {', '.join(found.slices) or 'none'}",
    ]
    for one in found.variables:
        lines += ["", f"{one.kind} {one.name}"]
        counts = one.counts or (0,) * one.bins.size
        most = max(*counts, 1)
        for label, count in zip(one.bins.labels(), counts, strict=True):
            lines.append(f"  {label:>16} {count:>8} {'#' * round(_BAR * count / most)}".rstrip())
    return lines


if __name__ == "__main__":
    sys.exit(main())
