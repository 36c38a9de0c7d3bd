"""Right and wrong resources of ours, and what is to be said of the wrong ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Change = Callable[[dict[str, Any]], None]


def rollout(name: str = "iris") -> dict[str, Any]:
    container = {"name": "classifier", "image": "iris:1"}
    predictor = {
        "name": "default",
        "replicas": 2,
        "graph": {"name": "classifier", "type": "MODEL", "children": []},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }
    canary = {
        "steps": [{"weight": 5, "hold": "2m"}, {"weight": 50, "hold": "1h30m"}],
        "checks": [
            {"name": "errors", "metric": "error-rate", "compare": {"unacceptableRatio": 2}},
            {"name": "p99", "metric": "latency", "limit": {"quantile": 0.99, "max": "500ms"}},
            {"name": "few", "metric": "error-rate", "limit": {"max": 0.02}},
            {
                "name": "predictions",
                "metric": "predictions",
                "difference": {"acceptable": 0, "unacceptable": 0.05, "slices": ["region"]},
            },
            {"name": "wrong", "metric": "feedback", "difference": {"perClass": True}},
        ],
    }
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name},
        "spec": {
            "template": {"spec": {"protocol": "seldon", "predictors": [predictor]}},
            "policyRef": {"name": "balanced"},
            "strategy": {"canary": canary},
        },
    }


def predictors(obj: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = obj["spec"]["template"]["spec"]["predictors"]
    return found


def checks(obj: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = obj["spec"]["strategy"]["canary"]["checks"]
    return found


def steps(*weights: int) -> Change:
    def change(obj: dict[str, Any]) -> None:
        obj["spec"]["strategy"]["canary"]["steps"] = [{"weight": weight} for weight in weights]

    return change


def name(text: str) -> Change:
    return lambda obj: obj["metadata"].update(name=text)


def container_name(text: str) -> Change:
    def change(obj: dict[str, Any]) -> None:
        predictors(obj)[0]["componentSpecs"][0]["spec"]["containers"][0]["name"] = text

    return change


def strategy(**forms: Any) -> Change:
    return lambda obj: obj["spec"].update(strategy=forms)


def canary(**fields: Any) -> Change:
    return lambda obj: obj["spec"]["strategy"]["canary"].update(fields)


def gates(**fields: Any) -> Change:
    return lambda obj: obj["spec"].update(gates=fields)


def preflight(**fields: Any) -> Change:
    asked = {"requests": {"configMap": {"name": "r"}}, **fields}
    return lambda obj: obj["spec"].update(preflight=asked)


def window(**fields: Any) -> Change:
    return gates(windows=[fields])


def webhook(**fields: Any) -> Change:
    hook = {"name": "ask", "at": "BeforeStep", "url": "https://gate.example.com/ask"}
    return gates(webhooks=[{**hook, **fields}])


def monitoring(**fields: Any) -> Change:
    return lambda obj: obj["spec"].update(monitoring=fields)


RETRAIN = {"job": {"cronJob": "retrain"}}


WRONG: dict[str, tuple[Change, str]] = {
    "difference of errors": (
        lambda obj: checks(obj)[2].update(difference={}),
        "difference .* is what the metrics predictions and feedback need, and for no other",
    ),
    "predictions without difference": (
        lambda obj: checks(obj)[3].pop("difference"),
        "difference .* is what the metrics predictions and feedback need, and for no other",
    ),
    "predictions with a limit": (
        lambda obj: checks(obj)[3].update(limit={"max": 0.1}),
        "judged by difference alone: remove compare and limit",
    ),
    "perClass of predictions": (
        lambda obj: checks(obj)[3].update(difference={"perClass": True}),
        "perClass is for feedback",
    ),
    "shares the wrong way round": (
        lambda obj: checks(obj)[4].update(difference={"acceptable": 0.3}),
        r"unacceptable \(0.1 if omitted\) must be greater than acceptable",
    ),
    "points for shares": (
        lambda obj: checks(obj)[4].update(difference={"acceptable": 2, "unacceptable": 10}),
        "expected a share from 0 to below 1, such as 0.02",
    ),
    "two predictors": (
        lambda obj: predictors(obj).append(copy.deepcopy(predictors(obj)[0])),
        "exactly one predictor is expected.*keep one and remove the others",
    ),
    "no predictor": (lambda obj: predictors(obj).clear(), "exactly one predictor is expected"),
    "traffic": (lambda obj: predictors(obj)[0].update(traffic=100), "traffic must be left out"),
    "shadow": (lambda obj: predictors(obj)[0].update(shadow=True), "shadow must be left out"),
    "replicas 0": (
        lambda obj: predictors(obj)[0].update(replicas=0),
        "replicas in body should be greater than or equal to 1",
    ),
    "no template": (lambda obj: obj["spec"].pop("template"), "spec.template: Required value"),
    "descending weights": (steps(20, 5), "weights of steps must ascend, such as 5, 20, 50"),
    "equal weights": (steps(20, 20), "weights of steps must ascend"),
    "weight 0": (steps(0, 5), r"steps\[0\].weight.*greater than or equal to 1"),
    "weight 101": (steps(5, 101), r"steps\[1\].weight.*less than or equal to 100"),
    "no steps": (steps(), "steps in body should have at least 1 items"),
    "a bare number of seconds": (canary(bake=5), "bake.*must be of type string"),
    "a duration in words": (canary(bake="5 minutes"), "bake.*such as 30s, 2m or 1h30m"),
    "hold with an unknown unit": (
        canary(steps=[{"weight": 5, "hold": "3y"}]),
        r"steps\[0\].hold.*expected a duration: a number and a unit",
    ),
    "two checks of one name": (
        lambda obj: checks(obj)[2].update(name="errors"),
        "every check needs a name of its own",
    ),
    "neither compare nor limit": (
        lambda obj: checks(obj)[0].pop("compare"),
        "exactly one of compare .* and limit",
    ),
    "compare and limit": (
        lambda obj: checks(obj)[0].update(limit={"max": 0.1}),
        "exactly one of compare .* and limit",
    ),
    "unknown metric": (
        lambda obj: checks(obj)[0].update(metric="cpu"),
        'supported values: "error-rate", "latency"',
    ),
    "ratios in the wrong order": (
        lambda obj: checks(obj)[0].update(compare={"acceptableRatio": 3}),
        "unacceptableRatio .* must be greater than acceptableRatio",
    ),
    "latency limit without quantile": (
        lambda obj: checks(obj)[1].update(limit={"max": "500ms"}),
        r"a latency limit needs quantile \(such as 0.99\)",
    ),
    "latency limit as a number": (
        lambda obj: checks(obj)[1].update(limit={"quantile": 0.99, "max": 500}),
        r"limit.max: .* supported values: .a duration in quotes, such as '500ms'",
    ),
    "latency limit as a share": (
        lambda obj: checks(obj)[1].update(limit={"quantile": 0.99, "max": 0.5}),
        r"limit.max: .* supported values: .a duration in quotes, such as '500ms'",
    ),
    "latency limit without a unit": (
        lambda obj: checks(obj)[1].update(limit={"quantile": 0.99, "max": "500"}),
        r"limit.max in body should match",
    ),
    "error-rate limit with quantile": (
        lambda obj: checks(obj)[2].update(limit={"quantile": 0.9, "max": 0.1}),
        "as a share such as 0.02: remove quantile",
    ),
    "error-rate limit as a duration": (
        lambda obj: checks(obj)[2].update(limit={"max": "500ms"}),
        "limit.max: .* supported values: .a share without quotes, such as 0.02",
    ),
    "error-rate limit of 2": (
        lambda obj: checks(obj)[2].update(limit={"max": 2}),
        "limit.max in body should be less than",
    ),
    "limit max true": (lambda obj: checks(obj)[2].update(limit={"max": True}), "limit.max"),
    "limit max list": (lambda obj: checks(obj)[2].update(limit={"max": [0.1]}), "limit.max"),
    "limit max object": (lambda obj: checks(obj)[2].update(limit={"max": {"a": 1}}), "limit.max"),
    "limit max empty": (lambda obj: checks(obj)[2].update(limit={"max": {}}), "limit.max"),
    "unknown policy kind": (
        lambda obj: obj["spec"]["policyRef"].update(kind="Policy"),
        'supported values: "CanaryPolicy", "ClusterCanaryPolicy"',
    ),
    "a name of 51 characters": (name("a" * 51), "metadata.name must have at most 50"),
    "a name with a dot": (name("iris.v2"), "choose another name, or set spec.seldonDeploymentName"),
    "a name that begins with a digit": (name("1iris"), "beginning with a letter"),
    "a SeldonDeployment's name in capitals": (
        lambda obj: obj["spec"].update(seldonDeploymentName="Iris"),
        "seldonDeploymentName.*expected at most 50 lower-case letters",
    ),
    "a container's name of 49 characters": (
        container_name("c" * 49),
        "container's name must have at most 48 characters.*shorten it",
    ),
    "canary and blue-green at once": (
        strategy(canary={}, blueGreen={}),
        "needs exactly one of canary .* and blueGreen .*add one, remove one, or leave strategy out",
    ),
    "a strategy that says nothing": (strategy(), "needs exactly one of canary"),
    "two checks of one name in blue-green": (
        strategy(blueGreen={"checks": [{"name": "a", "metric": "error-rate", "compare": {}}] * 2}),
        "every check needs a name of its own",
    ),
    "blue kept for a number": (
        strategy(blueGreen={"keepBlueFor": "60"}),
        "keepBlueFor.*expected a duration",
    ),
    "a shadow of nothing": (
        canary(shadow={"percent": 0}),
        "shadow.percent in body should be greater than or equal to 1",
    ),
    "a shadow of more than all": (
        strategy(blueGreen={"shadow": {"percent": 101}}),
        "shadow.percent in body should be less than or equal to 100",
    ),
    "a shadow's hold without a unit": (
        canary(shadow={"hold": "5"}),
        "shadow.hold.*expected a duration",
    ),
    "capacity of another kind": (
        canary(candidateReplicas={"mode": "Half"}),
        'mode: Unsupported value: "Half": supported values: "Full", "InStep"',
    ),
    "a risk of one half": (
        canary(risk={"falseRollback": 0.5}),
        "falseRollback.*above 0 and below 0.5, such as 0.01 for 1%",
    ),
    "a risk in per cent": (canary(risk={"falsePromotion": 5}), "above 0 and below 0.5, such as"),
    "a risk of nothing": (canary(risk={"falsePromotion": 0}), "above 0 and below 0.5, such as"),
    "a quantile in per cent": (
        lambda obj: checks(obj)[1]["limit"].update(quantile=99),
        "quantile.*above 0 and below 1, such as 0.99",
    ),
    "everything negligible": (
        lambda obj: checks(obj)[0].update(compare={"negligibleBelow": 1}),
        "negligibleBelow.*above 0 and below 1, such as 0.001",
    ),
    "one Service for both": (
        lambda obj: predictors(obj)[0].update(annotations={"seldon.io/svc-name": "iris"}),
        "annotation seldon.io/svc-name must be left out",
    ),
    "a day in full": (window(days=["Monday"]), r"windows\[0\].days\[0\]"),
    "no day": (window(days=[]), "days in body should have at least 1 items"),
    "a time without a leading zero": (window(**{"from": "9:00"}), r"windows\[0\].from"),
    "25 o'clock": (window(to="25:00"), r"windows\[0\].to"),
    "a path for a time zone": (window(timeZone="../../etc/passwd"), "timeZone"),
    "a preflight without requests": (preflight(requests={}), "configMap: Required"),
    "an agreement of nothing": (preflight(agreement=0), "a share above 0 and at most 1"),
    "an agreement in percent": (preflight(agreement=99), "a share above 0 and at most 1"),
    "a class's agreement of nothing": (
        preflight(perClass={"agreement": 0}),
        "a share above 0 and at most 1, such as 0.9 for 90% of a class's rows",
    ),
    "a class of no rows": (preflight(perClass={"leastRows": 0}), "greater than or equal to 1"),
    "a distance below nothing": (preflight(distance=-1), "a distance of 0 or more"),
    "no time at all to answer": (preflight(slower=0), "how many times as long"),
    "a preflight of two hours": (preflight(timeout="2h"), "at most 1h"),
    "a preflight of a day": (preflight(timeout="1d"), "at most 1h"),
    "a preflight of no time": (preflight(timeout="0s"), "above 0s"),
    "a quarter of an hour for an answer": (preflight(answerTimeout="15m"), "at most 10m"),
    "no time for an answer": (preflight(answerTimeout="0s"), "answerTimeout must be above 0s"),
    "eleven examples": (preflight(examples=11), "less than or equal to 10"),
    "going on undecided": (preflight(onUndecided="Proceed"), 'supported values: "Pause"'),
    "a key that is a path": (
        preflight(requests={"configMap": {"name": "r", "key": "../r"}}),
        "key in body should match",
    ),
    "promotedIn without a name": (gates(promotedIn=[{"namespace": "stage"}]), "name: Required"),
    "within in words": (
        gates(promotedIn=[{"name": "iris", "within": "a week"}]),
        "within.*such as",
    ),
    "a webhook by another protocol": (webhook(url="ftp://gate.example.com/"), "url"),
    "a webhook with a password in its URL": (webhook(url="https://a:b@gate.example.com/"), "url"),
    "a webhook at no known moment": (webhook(at="Sometimes"), 'supported values: "BeforeStart"'),
    "a webhook's timeout of a minute": (webhook(timeout="1m"), "at most 30s"),
    "a webhook's timeout of a day": (webhook(timeout="1d"), "at most 30s"),
    "a webhook's timeout of nothing": (webhook(timeout="0s"), "above 0s"),
    "a webhook asked every second": (webhook(interval="1s"), "at least 10s"),
    "a webhook with another gate's name": (webhook(name="windows"), "choose another"),
    "eleven retries": (webhook(retries=11), "less than or equal to 10"),
    "a roll back before there is a candidate": (
        webhook(at="BeforeStart", onFailure="RollBack"),
        "needs a candidate to take out: at BeforeStart and AfterEnd use Hold",
    ),
    "two webhooks of one name": (
        lambda obj: (
            webhook()(obj),
            obj["spec"]["gates"]["webhooks"].append(obj["spec"]["gates"]["webhooks"][0]),
        )[0],
        "every webhook needs a name of its own",
    ),
    "nothing to watch": (monitoring(), "needs drift or decay"),
    "a reaction to drift that is not watched": (
        monitoring(decay={}, onDrift=RETRAIN),
        "onDrift without drift never happens",
    ),
    "a reaction to decay that is not watched": (
        monitoring(drift={}, onDecay=RETRAIN),
        "onDecay without decay never happens",
    ),
    "a reaction that does nothing": (monitoring(drift={}, onDrift={}), "exactly one of job"),
    "a reaction that does two things": (
        monitoring(drift={}, onDrift={**RETRAIN, "webhook": {"url": "https://a.example/"}}),
        "exactly one of job",
    ),
    "a webhook of a retraining that may take a minute": (
        monitoring(drift={}, onDrift={"webhook": {"url": "https://a.example/", "timeout": "1m"}}),
        "at most 30s",
    ),
    "a distance that cannot be so large": (
        monitoring(drift={"distance": "js", "threshold": 0.8}),
        "below what the distance can be",
    ),
    "a threshold of 1 for the default distance": (
        monitoring(drift={"threshold": 1}),
        "below what the distance can be",
    ),
    "a threshold of 0": (monitoring(drift={"threshold": 0}), "above 0"),
    "a feature twice": (monitoring(drift={"features": ["a", "a"]}), "name each once"),
    "no known distance": (monitoring(drift={"distance": "l2"}), 'supported values: "ks"'),
    "false alarms every week": (monitoring(drift={}, falseAlarms=1), "above 0 and below 1"),
    "twenty-one retrainings a week": (
        monitoring(drift={}, maxPerWeek=21),
        "less than or equal to 20",
    ),
    "a rollback window of -1": (
        lambda obj: obj["spec"].update(rollbackWindow={"revisions": -1}),
        "greater than or equal to 0",
    ),
}


RIGHT: dict[str, Change] = {
    "as it is": lambda obj: None,
    "a name of 50 characters": name("a" * 50),
    "a long name with a short one for Seldon": lambda obj: (
        obj["metadata"].update(name="a.b." + "c" * 60),
        obj["spec"].update(seldonDeploymentName="iris"),
    )[0],
    "a container's name of 48 characters": container_name("c" * 48),
    "traffic 0": lambda obj: predictors(obj)[0].update(traffic=0),
    "a last step of 100": steps(5, 100),
    "no strategy and no policy": lambda obj: (
        obj["spec"].pop("strategy"),
        obj["spec"].pop("policyRef"),
    )[0],
    "a pause step": canary(steps=[{"weight": 5, "pause": True}]),
    "a preflight by class as it comes": preflight(perClass={}),
    "every field of a preflight": preflight(
        requests={"configMap": {"name": "r", "key": "r.jsonl.gz"}},
        agreement=1,
        distance=0.05,
        perClass={"agreement": 1, "leastRows": 50},
        slower=1.5,
        examples=0,
        timeout="1h",
        answerTimeout="10m",
        onUndecided="RollBack",
    ),
    "every gate": gates(
        promotedIn=[{"namespace": "stage", "name": "iris", "within": "168h"}],
        windows=[
            {"days": ["Mon-Thu", "Sat"], "from": "09:00", "to": "24:00", "timeZone": "Asia/Tokyo"},
            {},
        ],
        webhooks=[
            {
                "name": "load-test",
                "at": "BeforePromotion",
                "url": "http://gate.ci.svc:8080/ask?for=iris",
                "timeout": "30s",
                "retries": 0,
                "interval": "1d",
                "onFailure": "RollBack",
                "key": "ci",
            }
        ],
    ),
    "drift with its defaults": monitoring(drift={}),
    "decay with its defaults": monitoring(decay={}),
    "monitoring with everything": monitoring(
        drift={
            "distance": "psi",
            "threshold": 0.25,
            "features": ["petal length (cm)", "prediction"],
            "sameHours": True,
            "learning": "2d",
        },
        decay={"measure": "Rewards", "tolerance": 0.05, "learning": "1h", "levelFeedback": 1000},
        falseAlarms=0.02,
        onDrift=RETRAIN,
        onDecay={
            "webhook": {
                "url": "http://ci.ml.svc:8080/retrain",
                "timeout": "30s",
                "retries": 0,
                "key": "ci",
            }
        },
        cooldown="12h",
        maxPerWeek=3,
    ),
    "a rollback window": lambda obj: obj["spec"].update(rollbackWindow={"revisions": 3}),
    "annotations of the pods": lambda obj: predictors(obj)[0].update(annotations={"team": "ml"}),
    "a shadow with its defaults": canary(shadow={}),
    "capacity in step": canary(candidateReplicas={"mode": "InStep", "min": 2}),
    "blue-green with its defaults": strategy(blueGreen={}),
    "blue-green with everything": strategy(
        blueGreen={
            "autoSwitch": False,
            "keepBlueFor": "1h",
            "bake": "10m",
            "warmup": "30s",
            "risk": {"falseRollback": 0.02},
            "onUndecided": {"after": "1h", "action": "RollBack"},
            "checks": [{"name": "errors", "metric": "error-rate", "compare": {}}],
            "shadow": {"percent": 20, "hold": "10m"},
        }
    ),
    "an empty compare": lambda obj: checks(obj)[0].update(compare={}),
}
