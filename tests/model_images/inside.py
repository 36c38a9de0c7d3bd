"""Runs in the model servers' environment: `inside.py FACTS-OF` prints facts about models as JSON.

`accuracy`: held-out accuracy of every image that predicts. `faulty`: which iris flowers raise, and
the answers to the rest. `smoke`: what each image answers to one typical flower.
"""

import importlib
import json
import sys
from pathlib import Path

IMAGES = Path(__file__).resolve().parents[2] / "model_images"
sys.path.insert(0, str(IMAGES))

import numpy as np  # noqa: E402
import train  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402

CLASSES = {
    "stable": "IrisStable",
    "better": "IrisBetter",
    "better_two": "IrisBetterTwo",
    "faulty": "IrisFaulty",
    "slow": "IrisSlow",
    "shuffled": "IrisShuffled",
    "crashing": "IrisCrashing",
}


def model(folder):
    sys.path.insert(0, str(IMAGES / folder))
    return getattr(importlib.import_module(CLASSES[folder]), CLASSES[folder])()


def accuracy():
    _, flowers, _, species = train.split()
    found = {}
    for folder in ("stable", "better", "better_two", "shuffled"):
        predicted = np.asarray(model(folder).predict(flowers, []).data).argmax(axis=1)
        found[folder] = float((predicted == species).mean())
    return found


def faulty():
    flowers, _ = load_iris(return_X_y=True)
    bad, same = model("faulty"), model("better")
    raised, equal = [], True
    for flower in flowers:
        row = flower.reshape(1, -1)
        try:
            answer = bad.predict(row, []).data
        except IndexError:
            raised.append(float(flower[2]))
        else:
            equal = equal and np.allclose(answer, same.predict(row, []).data)
    longer = float((flowers[:, 2] > 5.2).mean())
    return {"raised": raised, "share": len(raised) / len(flowers), "longer": longer, "equal": equal}


def smoke():
    row = np.array([[5.1, 3.5, 1.4, 0.2]])
    found = {}
    for folder in CLASSES:
        if folder == "crashing":
            continue
        served = model(folder)
        answer = served.predict(row, [])
        found[folder] = {
            "sum": float(answer.data.sum()),
            "metrics": answer.metrics,
            "health": len(served.health_status()),
            "classes": served.class_names(),
        }
    try:
        model("better").predict(np.array([[1.0, 2.0]]), [])
    except ValueError as error:
        found["wrong_shape"] = str(error)
    try:
        model("crashing")
    except FileNotFoundError as error:
        found["crashing"] = str(error)
    return found


json.dump({"accuracy": accuracy, "faulty": faulty, "smoke": smoke}[sys.argv[1]](), sys.stdout)
