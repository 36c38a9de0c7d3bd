"""Trains the iris model on fresh flowers: `python retrain.py --data fresh.csv --out DIR`.

DIR gets what a new image holds: the class, its coefficients (model.json) and the profile of this
training (profile.json), which the traffic is compared with from then on. The data have the columns
of the iris data and `species`. It needs the model servers' environment (requirements/seldon.txt).

What made the retraining start is in the environment, as Sluice tells it to the Job
(docs/model-quality.md); here it is only printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "kit")]

from linear_iris import LinearIris  # noqa: E402
from sluice_model import making  # noqa: E402

TARGET = "species"
HELD_OUT = 0.25


def told() -> str:
    """Why it runs, in a sentence."""
    text = os.environ.get("SLUICE_RETRAIN_INPUT")
    if not text:
        return "started by hand"
    request = json.loads(text)
    rows = [
        f"{one['name']} ({one['distance']} {one['value']:.2g}, threshold {one['threshold']:g})"
        for one in request["features"]
    ]
    return f"{request['reason']}, revision {request['revision']}: {', '.join(rows) or 'feedback'}"


def main() -> int:
    """Train, and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", default="", help="for the profile")
    asked = parser.parse_args()
    table = making.read_csv(asked.data)
    names = [name for name in table.columns if name != TARGET]
    flowers = np.stack([table.columns[name].astype(float) for name in names], axis=1)
    species = table.columns[TARGET]
    kinds = sorted(set(species.tolist()))
    train, held = train_test_split(
        np.arange(len(species)), test_size=HELD_OUT, random_state=0, stratify=species
    )
    model = LogisticRegression(max_iter=5000).fit(flowers[train], species[train])
    accuracy = float(model.score(flowers[held], species[held]))
    asked.out.mkdir(parents=True, exist_ok=True)
    artefact = asked.out / "model.json"
    content = {
        "features": names,
        "columns": list(range(len(names))),
        "classes": kinds,
        "coefficients": model.coef_.tolist(),
        "intercepts": model.intercept_.tolist(),
        "held_out_accuracy": round(accuracy, 4),
    }
    artefact.write_text(json.dumps(content, indent=1) + "\n")
    parts = [
        making.Table({name: column[rows] for name, column in table.columns.items()})
        for rows in (train, held)
    ]
    wish = making.Wish(name="iris", version=asked.version, target=TARGET, bins=8)
    profile = making.make(parts[0], wish, LinearIris(artefact), parts[1])
    (asked.out / "profile.json").write_text(profile.text())
    shutil.copyfile(HERE / "IrisRetrained.py", asked.out / "IrisRetrained.py")
    print(f"{told()}; trained on {len(train)} flowers, held-out accuracy {accuracy:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
