"""`observed` under seldon_core itself. Run by test_kit_in_its_environment with its Python."""

import sys

import numpy as np
import pytest
from seldon_core import seldon_methods
from seldon_core.metrics import SeldonMetrics
from seldon_core.proto import prediction_pb2
from seldon_core.user_model import SeldonComponent, SeldonResponse
from seldon_core.utils import json_to_feedback, json_to_seldon_message
from sluice_model import ProfileError, export, making, observed

NAMES = ["age", "height"]
ROWS = np.random.default_rng(1).uniform(0, 100, (200, 2))
REQUEST = {"data": {"names": NAMES, "ndarray": [[70.0, 10.0]]}, "meta": {"tags": {"region": "eu"}}}


@pytest.fixture(scope="module")
def seldon():
    return SeldonMetrics(worker_id_func=lambda: "w")


@pytest.fixture
def profile(tmp_path):
    bought = np.where(ROWS[:, 0] > 50, "yes", "no").astype(object)
    table = making.Table({"age": ROWS[:, 0], "height": ROWS[:, 1], "bought": bought})
    wish = making.Wish(target="bought", tags={"region": ("eu",)}, slices=("region",), bins=4)
    file = tmp_path / "profile.json"
    file.write_text(making.make(table, wish, Plain()).text())
    return file


@pytest.fixture
def shown(seldon):
    """name -> value of what the metrics page has of the kit, non-zero ones only."""
    export._sources.clear()

    def read():
        found = {}
        for family in seldon.collect():
            for sample in family.samples:
                if sample.value and sample.name.startswith("sluice_model_"):
                    keep = ("range", "prediction", "truth", "outcome", "answered", "sign", "where")
                    words = [sample.labels[k] for k in keep if k in sample.labels]
                    kind = sample.labels.get("kind", sample.labels.get("slice", ""))
                    name = sample.name.removeprefix("sluice_model_")
                    found[" ".join(filter(None, [name, kind, *words]))] = sample.value
        return found

    return read


class Plain:
    def class_names(self):
        return ["no", "yes"]

    def predict(self, X, features_names):  # noqa: N803
        sure = np.asarray(X, dtype=float)[:, 0] / 100
        return np.column_stack([1 - sure, sure])


class Component(SeldonComponent):
    def class_names(self):
        return ["no", "yes"]

    def predict(self, X, names, meta=None):  # noqa: N803
        return SeldonResponse(Plain().predict(X, names), metrics=[])

    def health_status(self):
        return self.predict(np.array([[1.0, 2.0]]), NAMES).data


class Raw:
    def predict_raw(self, msg):
        if isinstance(msg, dict):
            return {"data": {"names": ["no", "yes"], "ndarray": [[0.3, 0.7]]}}
        return json_to_seldon_message({"data": {"ndarray": [[0.3, 0.7]]}})


class OnAnother:
    def predict(self, X, names, meta=None):  # noqa: N803
        return self.inner(X)

    def inner(self, X):  # noqa: N803
        return self.predict_really(X)

    def predict_really(self, X):  # noqa: N803
        return Plain().predict(X, [])

    def transform_input(self, X, names, meta=None):  # noqa: N803
        self.predict(X, names)
        return X


def function(X, names):  # noqa: N803
    """Yes or no."""
    return Plain().predict(X, names)


@pytest.mark.parametrize("target", [Plain, Component, Raw, function])
@pytest.mark.parametrize("proto", [False, True], ids=["json", "proto"])
def test_every_style_is_counted_once(target, proto, profile, shown, seldon):
    model = observed(target, profile=profile, strict=True)()
    request = json_to_seldon_message(REQUEST) if proto else REQUEST
    seldon_methods.predict(model, request, seldon)
    found = shown()
    assert found["rows_total"] == 1
    assert found["observations_total prediction yes"] == 1
    assert found["observations_total score [0.7,0.8)"] == 1
    if target is not Plain and target is not function:  # these two take no meta
        assert found["observations_total tag eu"] == 1
        assert found["slice_predictions_total region eu yes"] == 1


def test_an_object_can_be_observed_too(profile, shown, seldon):
    model = observed(Plain(), profile=profile, strict=True)
    seldon_methods.predict(model, REQUEST, seldon)
    assert shown()["rows_total"] == 1


def test_the_answer_is_what_it_would_be_without(profile, seldon):
    plain = seldon_methods.predict(Component(), REQUEST, seldon)
    kit = seldon_methods.predict(
        observed(Component, profile=profile, strict=True)(), REQUEST, seldon
    )
    assert kit == plain


def test_an_observed_class_is_still_that_class(profile):
    made = observed(Component, profile=profile)
    assert (made.__name__, made.__module__, made.__doc__) == ("Component", __name__, None)
    assert isinstance(made(), Component)
    assert observed(function, profile=profile).__name__ == "function"


def test_transform_input_counts_features_and_no_prediction(profile, shown, seldon):
    model = observed(OnAnother, profile=profile, strict=True)()
    seldon_methods.transform_input(model, REQUEST, seldon)
    found = shown()
    assert found["rows_total"] == 1
    assert "observations_total prediction yes" not in found


def test_health_is_no_traffic(profile, shown, seldon):
    seldon_methods.health_status(observed(Component, profile=profile, strict=True)(), seldon)
    assert "rows_total" not in shown()


def test_a_model_that_raises_still_raises_and_is_not_counted(profile, shown, seldon):
    class Raising:
        def predict(self, X, names, meta=None):  # noqa: N803
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        seldon_methods.predict(observed(Raising, profile=profile, strict=True)(), REQUEST, seldon)
    assert "rows_total" not in shown()


def test_a_bug_in_the_kit_breaks_no_prediction(profile, shown, seldon, monkeypatch):
    model = observed(Plain, profile=profile, strict=True)()
    monkeypatch.setattr("sluice_model.reading.answer", lambda *_: 1 / 0)
    answer = seldon_methods.predict(model, REQUEST, seldon)
    assert answer["data"]["ndarray"] == [[pytest.approx(0.3), pytest.approx(0.7)]]
    assert shown()["kit_failures_total predict"] == 1


def test_without_a_profile_the_model_serves_and_the_log_says_why(tmp_path, seldon, caplog):
    model = observed(Plain, profile=tmp_path / "none.json")()
    assert seldon_methods.predict(model, REQUEST, seldon)["data"]["names"] == ["no", "yes"]
    assert "found no such file" in caplog.text
    with pytest.raises(ProfileError):
        observed(Plain, profile=tmp_path / "none.json", strict=True)()


def test_too_many_series_are_refused_at_the_start(profile, monkeypatch):
    monkeypatch.setenv("SLUICE_MODEL_MAX_SERIES", "20")
    with pytest.raises(ProfileError, match="expected at most 20 series"):
        observed(Plain, profile=profile, strict=True)()


def test_the_reference_is_on_the_page_with_the_labels_of_the_counters(profile, shown, seldon):
    model = observed(Plain, profile=profile, strict=True)()
    for row in ROWS:
        seldon_methods.predict(model, {"data": {"names": NAMES, "ndarray": [row.tolist()]}}, seldon)
    labels, values = {}, {}
    for family in seldon.collect():
        for sample in family.samples:
            if sample.name in ("sluice_model_observations_total", "sluice_model_reference"):
                key = tuple(sample.labels[k] for k in ("kind", "variable", "bin", "range"))
                labels.setdefault(sample.name, []).append(set(sample.labels))
                values.setdefault(sample.name, {})[key] = sample.value
    live = values["sluice_model_observations_total"]
    training = values["sluice_model_reference"]
    assert training == {key: live[key] for key in training}, "training was played again"
    assert labels["sluice_model_reference"][0] == labels["sluice_model_observations_total"][0]
    text, _ = seldon.generate_metrics()
    assert text.count("# TYPE sluice_model_observations_total counter") == 1


def feedback(response, truth, image="me:1", reward=0.0):
    return json_to_feedback(
        {
            "request": REQUEST,
            "response": {
                "data": {"ndarray": [response]}, "meta": {"requestPath": {"model": image}},
            },
            "truth": {"data": {"ndarray": [truth]}},
            "reward": reward,
        }
    )  # fmt: skip


@pytest.mark.parametrize("truth", ["yes", 1.0, [0.0, 1.0]], ids=["label", "place", "columns"])
def test_feedback_is_right_or_wrong_by_truth_and_slice(truth, profile, shown, seldon, monkeypatch):
    monkeypatch.setenv("PREDICTIVE_UNIT_IMAGE", "me:1")
    model = observed(Plain, profile=profile, strict=True)()
    seldon_methods.send_feedback(model, feedback([0.2, 0.8], truth, reward=1.0), "model", seldon)
    seldon_methods.send_feedback(model, feedback([0.9, 0.1], truth, reward=-2.0), "model", seldon)
    found = shown()
    assert found["feedback_total yes right"] == found["feedback_total yes wrong"] == 1
    assert found["feedback_slice_total region eu right"] == 1
    assert found["feedback_requests_total self"] == 2
    assert (found["reward_total positive"], found["reward_total negative"]) == (1, 2)
    assert found["rewards_total"] == 2


def test_a_reward_of_0_counts_so_that_the_mean_is_that_of_all_feedback(
    profile, shown, seldon, monkeypatch
):
    monkeypatch.setenv("PREDICTIVE_UNIT_IMAGE", "me:1")
    model = observed(Plain, profile=profile, strict=True)()
    for reward in (0.0, 1.0, 0.0, 0.0):
        message = feedback([0.2, 0.8], "yes", reward=reward)
        seldon_methods.send_feedback(model, message, "model", seldon)
    found = shown()
    assert found["reward_total positive"] / found["rewards_total"] == 0.25
    assert found["rewards_total"] == found["feedback_requests_total self"] == 4
    assert "reward_total negative" not in found
    assert found["feedback_total yes right"] == 4, (
        "the outcome is counted once, whatever the reward"
    )


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_spoils_no_sum(reward, profile, shown, seldon, monkeypatch):
    monkeypatch.setenv("PREDICTIVE_UNIT_IMAGE", "me:1")
    model = observed(Plain, profile=profile, strict=True)()
    for one in (1.0, reward):
        message = feedback([0.2, 0.8], "yes")
        message.reward = one
        seldon_methods.send_feedback(model, message, "model", seldon)
    found = shown()
    assert (found["rewards_total"], found["reward_total positive"]) == (1, 1)
    assert found["feedback_total yes right"] == 2


def test_feedback_on_another_versions_answer_says_nothing_of_this_one(
    profile, shown, seldon, monkeypatch
):
    monkeypatch.setenv("PREDICTIVE_UNIT_IMAGE", "me:2")
    model = observed(Plain, profile=profile, strict=True)()
    seldon_methods.send_feedback(model, feedback([0.2, 0.8], "yes", reward=1.0), "model", seldon)
    found = shown()
    assert found["feedback_requests_total other"] == 1
    assert "feedback_total yes right" not in found
    assert "rewards_total" not in found


def test_the_models_own_send_feedback_is_called_as_before(profile, seldon):
    told = []

    class Listening(Plain):
        def send_feedback(self, features, names, reward, truth, routing=None):
            told.append((names, reward))

    model = observed(Listening, profile=profile, strict=True)()
    seldon_methods.send_feedback(model, feedback([0.2, 0.8], "yes", reward=0.5), "model", seldon)
    assert told == [(NAMES, 0.5)]


def test_feedback_that_is_empty_is_no_failure(profile, shown, seldon):
    model = observed(Plain, profile=profile, strict=True)()
    seldon_methods.send_feedback(model, prediction_pb2.Feedback(), "model", seldon)
    assert not [name for name in shown() if "failures" in name]


def test_serve_observes_the_class_that_is_named(profile, shown, seldon, monkeypatch):
    from sluice_model import serve

    monkeypatch.setitem(sys.modules, "Plain", sys.modules[__name__])
    monkeypatch.setenv("SLUICE_MODEL_CLASS", "Plain")
    monkeypatch.setenv("SLUICE_MODEL_PROFILE", str(profile))
    seldon_methods.predict(serve.Observed(), REQUEST, seldon)
    assert shown()["rows_total"] == 1
