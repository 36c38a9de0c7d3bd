"""Trains the iris models and writes their coefficients: `python model_images/train.py`.

Run it with the model servers' environment (requirements/seldon.txt), which pins scikit-learn; the
data come with scikit-learn, so nothing is fetched. Everything that could vary is fixed: the split
(SPLIT_SEED), the solver, and the rounding of what is written. The same environment therefore gives
the same bytes, and `--check` compares instead of writing. Coefficients are kept as JSON rather than
as a pickle: a person can read a difference, and loading one runs no code.

Beside each model goes its profile.json (docs/model-kit.md): how the flowers of training fill the
bins, and what the model says to those held out.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "kit")]

from linear_iris import LinearIris  # noqa: E402
from sluice_model import making  # noqa: E402
from sluice_model.observe import PROFILE  # noqa: E402

ARTEFACT = "model.json"
SPLIT_SEED = 20
HELD_OUT = 0.4
DECIMALS = 9
SEPAL, PETAL = (0, 1), (2, 3)
VIRGINICA = 2


@dataclass(frozen=True)
class Recipe:
    """What one image's model is made of: columns of the iris data, and inverse regularisation.

    `shuffled` is a species whose flowers get a label at random in training.
    """

    folder: str
    columns: tuple[int, ...]
    inverse_regularisation: float
    shuffled: int | None = None


RECIPES = (
    Recipe("stable", SEPAL, 1.0),
    Recipe("better", SEPAL + PETAL, 1.0),
    Recipe("better_two", PETAL, 10.0),
    # These two predict as `better` does: only their behaviour is bad, not what they learned.
    Recipe("faulty", SEPAL + PETAL, 1.0),
    Recipe("slow", SEPAL + PETAL, 1.0),
    Recipe("shuffled", SEPAL + PETAL, 1.0, shuffled=VIRGINICA),
)


def split() -> tuple[Any, Any, Any, Any]:
    """(train X, held-out X, train y, held-out y): 90 and 60 flowers, species in equal shares."""
    flowers, species = load_iris(return_X_y=True)
    return tuple(
        train_test_split(
            flowers, species, test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=species
        )
    )


def train(recipe: Recipe) -> str:
    """The artefact of one recipe as JSON text, its held-out accuracy included."""
    train_x, test_x, train_y, test_y = split()
    columns = list(recipe.columns)
    if recipe.shuffled is not None:
        train_y = train_y.copy()
        hit = train_y == recipe.shuffled
        train_y[hit] = np.random.default_rng(SPLIT_SEED).integers(0, 3, hit.sum())
    model = LogisticRegression(C=recipe.inverse_regularisation, max_iter=5000, tol=1e-8)
    model.fit(train_x[:, columns], train_y)
    data = load_iris()
    artefact = {
        "features": [data.feature_names[column] for column in columns],
        "columns": columns,
        "classes": [str(name) for name in data.target_names],
        "coefficients": [[round(float(v), DECIMALS) for v in row] for row in model.coef_],
        "intercepts": [round(float(v), DECIMALS) for v in model.intercept_],
        "held_out_accuracy": round(float(model.score(test_x[:, columns], test_y)), 4),
    }
    return json.dumps(artefact, indent=1) + "\n"


def profile(artefact: Path) -> str:
    """The profile of one trained model as JSON text; its model is read from the artefact."""
    train_x, test_x, train_y, test_y = split()
    data = load_iris()
    tables = [
        making.Table(
            {
                **{name: flowers[:, i] for i, name in enumerate(data.feature_names)},
                "species": np.array([str(data.target_names[one]) for one in species], dtype=object),
            }
        )
        for flowers, species in ((train_x, train_y), (test_x, test_y))
    ]
    wish = making.Wish(
        name="iris", version=f"split-{SPLIT_SEED}", target="species", bins=8,
        slices=("petal length (cm)",),
    )  # fmt: skip
    return making.make(tables[0], wish, LinearIris(artefact), tables[1]).text()


def main() -> int:
    """Write every artefact, or with --check say which differ (exit code 1)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    different = []
    for recipe in RECIPES:
        path, text = HERE / recipe.folder / ARTEFACT, train(recipe)
        if not check:
            path.write_text(text)
        elif path.read_text() != text:
            different.append(f"{recipe.folder}/{ARTEFACT}")
        seen, text_of_it = path.with_name(PROFILE), profile(path)
        if not check:
            seen.write_text(text_of_it)
        elif not seen.is_file() or seen.read_text() != text_of_it:
            different.append(f"{recipe.folder}/{PROFILE}")
        accuracy = json.loads(text)["held_out_accuracy"]
        print(f"{recipe.folder:12s} held-out accuracy {accuracy:.4f}")
    if different:
        print(f"not as trained here: {', '.join(different)}", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
