"""What the API server refuses by itself, each with a sentence that says what to change.

CEL rules by field, and keywords of the schema where CEL cannot see or the server's own words would
not help. `sluice.api.crds` puts them into the CustomResourceDefinitions.
"""

from __future__ import annotations

from typing import Any

from sluice.api.base import DURATION_PATTERN
from sluice.api.gates import RESERVED_NAMES
from sluice.api.monitoring import NO_DECAY, NO_DRIFT, NOTHING_WATCHED, ONE_REACTION
from sluice.api.rollout import CLUSTER_POLICY_KIND, POLICY_KIND
from sluice.api.schema import Rule, Schema
from sluice.api.strategy import ONE_FORM

# Seldon makes the Service <name>-<predictor>, and a Service's name is a DNS label that starts with
# a letter. Below 51 characters no name derived from it is replaced by a hash, but for Deployments.
_NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
_NAME_MESSAGE = (
    "at most 50 lower-case letters, digits and '-', beginning with a letter and not ending with "
    "'-', since Seldon derives the names of Services from it"
)
# Seldon labels pods with the key seldon-app-svc-<container>, and a label key has 63 characters.
_CONTAINER_NAME_MAX = 48
# Gives every predictor the Service of that name.
_FIXED_SERVICE = "seldon.io/svc-name"


def _rule(rule: str, message: str) -> Rule:
    """One CEL rule. The message is fixed: one with the value found in it costs over the budget."""
    return {"rule": rule, "message": message}


def _share(example: str, below: str = "1.0") -> list[Rule]:
    """A rule instead of bounds: the server would print the bound 0.5 as 0 beside a whole number."""
    return [
        _rule(
            f"self > 0.0 && self < {below}",
            f"expected a share above 0 and below {below.removesuffix('.0')}, such as {example}",
        )
    ]


_NO_BOUNDS = dict.fromkeys(("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"))
_STEPS = [
    _rule(
        "self.map(s, s.weight).isSorted() && self.all(s, self.exists_one(t, t.weight == s.weight))",
        "the weights of steps must ascend, such as 5, 20, 50: put the smaller weight first and "
        "give each step its own",
    )
]
_CHECKS = [
    _rule(
        "self.all(c, self.exists_one(d, d.name == c.name))",
        "every check needs a name of its own: rename one of those that share theirs",
    )
]

_SHARE_OR_NONE = [
    _rule("self >= 0.0 && self < 1.0", "expected a share from 0 to below 1, such as 0.02 for 2%")
]
_OF_ANSWERS = "(self.metric in ['predictions', 'feedback'])"

RULES: dict[str, list[Rule]] = {
    "CanaryPolicySpec.steps": _STEPS,
    "Canary.steps": _STEPS,
    "CanaryPolicySpec.checks": _CHECKS,
    "Canary.checks": _CHECKS,
    "BlueGreen.checks": _CHECKS,
    "Risk.falseRollback": _share("0.01 for 1%", below="0.5"),
    "Risk.falsePromotion": _share("0.05 for 5%", below="0.5"),
    "Compare.negligibleBelow": _share("0.001 for one request in a thousand"),
    "Limit.quantile": _share("0.99 for the slowest request in a hundred"),
    "Difference.acceptable": _SHARE_OR_NONE,
    "Difference.unacceptable": _share("0.1 for ten points"),
    "Difference.leastShare": _SHARE_OR_NONE,
    "Strategy": [_rule("has(self.canary) != has(self.blueGreen)", ONE_FORM)],
    "Compare": [
        _rule(
            "(has(self.unacceptableRatio) ? self.unacceptableRatio : 2.0) > "
            "(has(self.acceptableRatio) ? self.acceptableRatio : 1.0)",
            "unacceptableRatio (2.0 if omitted) must be greater than acceptableRatio (1.0 if "
            "omitted): raise the first or lower the second",
        )
    ],
    "Difference": [
        _rule(
            "(has(self.unacceptable) ? self.unacceptable : 0.1) > "
            "(has(self.acceptable) ? self.acceptable : 0.02)",
            "unacceptable (0.1 if omitted) must be greater than acceptable (0.02 if omitted), both "
            "in shares: raise the first or lower the second",
        )
    ],
    "Check": [
        _rule(
            f"{_OF_ANSWERS} || has(self.compare) != has(self.limit)",
            "a check needs exactly one of compare (against the stable) and limit (an absolute "
            "objective): add one, or split the check in two",
        ),
        _rule(
            f"{_OF_ANSWERS} == has(self.difference)",
            "difference (such as {acceptable: 0.02, unacceptable: 0.1}) is what the metrics "
            "predictions and feedback need, and for no other: add it, or remove it",
        ),
        _rule(
            f"!{_OF_ANSWERS} || (!has(self.compare) && !has(self.limit))",
            "predictions and feedback are judged by difference alone: remove compare and limit",
        ),
        _rule(
            "self.metric == 'feedback' || !has(self.difference) || "
            "!has(self.difference.perClass) || !self.difference.perClass",
            "perClass is for feedback, predictions are always looked at by class: remove it",
        ),
        _rule(
            "self.metric != 'latency' || !has(self.limit) || has(self.limit.quantile)",
            "a latency limit needs quantile (such as 0.99) beside max (a duration such as 500ms)",
        ),
        _rule(
            "self.metric != 'error-rate' || !has(self.limit) || !has(self.limit.quantile)",
            "an error-rate limit needs max alone, as a share such as 0.02: remove quantile",
        ),
    ],
    "TemplateSpec.predictors": [
        _rule(
            "size(self) == 1",
            "exactly one predictor is expected, the version to serve: Sluice adds the candidate "
            "beside the stable by itself, so keep one and remove the others",
        )
    ],
    "TemplatePredictor": [
        _rule(
            "!has(self.traffic) || self.traffic == 0",
            "traffic must be left out: Sluice sets it; remove this field",
        ),
        _rule(
            "!has(self.shadow) || !self.shadow",
            "shadow must be left out: Sluice decides which predictor answers; remove this field",
        ),
        _rule(
            f"!has(self.annotations) || !('{_FIXED_SERVICE}' in self.annotations)",
            f"the annotation {_FIXED_SERVICE} must be left out: stable and candidate would share "
            "one Service, and neither could be sent a share of the traffic; remove it",
        ),
    ],
    "Preflight.agreement": [
        _rule(
            "self > 0.0 && self <= 1.0",
            "expected a share above 0 and at most 1, such as 0.99 for 99% of the rows",
        )
    ],
    "PreflightPerClass.agreement": [
        _rule(
            "self > 0.0 && self <= 1.0",
            "expected a share above 0 and at most 1, such as 0.9 for 90% of a class's rows",
        )
    ],
    "Preflight.distance": [_rule("self >= 0.0", "expected a distance of 0 or more, such as 0.05")],
    "Preflight.slower": [
        _rule("self > 0.0", "expected how many times as long a request may take, such as 1.5")
    ],
    "Preflight": [
        _rule(
            # CEL's durations have no days.
            "!has(self.timeout) || (!self.timeout.contains('d') && "
            "duration(self.timeout) > duration('0s') && "
            "duration(self.timeout) <= duration('1h'))",
            "timeout must be above 0s and at most 1h",
        ),
        _rule(
            "!has(self.answerTimeout) || (!self.answerTimeout.contains('d') && "
            "duration(self.answerTimeout) > duration('0s') && "
            "duration(self.answerTimeout) <= duration('10m'))",
            "answerTimeout must be above 0s and at most 10m",
        ),
    ],
    "Webhook": [
        _rule(
            f"!(self.name in {list(RESERVED_NAMES)})",
            "the names windows and pause are those of other gates: choose another",
        ),
        _rule(
            "!has(self.onFailure) || self.onFailure == 'Hold' || self.at == 'BeforeStep' || "
            "self.at == 'BeforePromotion'",
            "onFailure: RollBack needs a candidate to take out: at BeforeStart and AfterEnd use "
            "Hold",
        ),
        _rule(
            # CEL's durations have no days.
            "!has(self.timeout) || (!self.timeout.contains('d') && "
            "duration(self.timeout) > duration('0s') && "
            "duration(self.timeout) <= duration('30s'))",
            "timeout must be above 0s and at most 30s",
        ),
        _rule(
            "!has(self.interval) || self.interval.contains('d') || "
            "duration(self.interval) >= duration('10s')",
            "interval must be at least 10s",
        ),
    ],
    "Gates.webhooks": [
        _rule(
            "self.all(w, self.exists_one(v, v.name == w.name))",
            "every webhook needs a name of its own: rename one of those that share theirs",
        )
    ],
    "Monitoring": [
        _rule("has(self.drift) || has(self.decay)", NOTHING_WATCHED),
        _rule("!has(self.onDrift) || has(self.drift)", NO_DRIFT),
        _rule("!has(self.onDecay) || has(self.decay)", NO_DECAY),
    ],
    "Monitoring.falseAlarms": _share("0.01 for one in a hundred weeks"),
    "DecayWatch.tolerance": _share("0.02 for two points"),
    "Reaction": [_rule("has(self.job) != has(self.webhook)", ONE_REACTION)],
    "DriftWatch.threshold": [
        _rule("self > 0.0", "expected a distance above 0, such as 0.1"),
    ],
    "DriftWatch": [
        _rule(
            "!has(self.threshold) || self.threshold < (!has(self.distance) || "
            "self.distance in ['ks', 'tv'] ? 1.0 : self.distance == 'js' ? 0.69 : 10.0)",
            "threshold must be below what the distance can be: 1 for ks and tv, 0.69 for js, 10 "
            "for psi and kl",
        ),
        _rule(
            "!has(self.features) || self.features.all(f, self.features.exists_one(g, f == g))",
            "features: name each once",
        ),
    ],
    "RetrainWebhook": [
        _rule(
            "!has(self.timeout) || (!self.timeout.contains('d') && "
            "duration(self.timeout) > duration('0s') && "
            "duration(self.timeout) <= duration('30s'))",
            "timeout must be above 0s and at most 30s",
        ),
    ],
    "RolloutSpec.seldonDeploymentName": [
        _rule(f"size(self) <= 50 && self.matches('{_NAME}')", f"expected {_NAME_MESSAGE}")
    ],
}

_EFFECTIVE_NAME = (
    "(has({0}.spec.seldonDeploymentName) ? {0}.spec.seldonDeploymentName : {0}.metadata.name)"
)
ROLLOUT_ROOT_RULES = [
    _rule(
        "has(self.spec.seldonDeploymentName) || "
        f"(size(self.metadata.name) <= 50 && self.metadata.name.matches('{_NAME}'))",
        f"metadata.name must have {_NAME_MESSAGE}: choose another name, or set "
        "spec.seldonDeploymentName",
    ),
    _rule(
        f"{_EFFECTIVE_NAME.format('self')} == {_EFFECTIVE_NAME.format('oldSelf')}",
        "spec.seldonDeploymentName cannot be changed, the old SeldonDeployment would be left "
        "behind: create another ModelRollout instead",
    ),
]

# `enum` shows what would do instead. The bounds beside it hold for one type alone: a string passes
# those for numbers, a number those for strings (and no string is longer than `Limit.max` allows).
_NO_NUMBER = {
    "anyOf": [{"enum": ["a duration in quotes, such as '500ms'"]}, {"minimum": 2, "maximum": 1}]
}
_NO_STRING = {"anyOf": [{"enum": ["a share without quotes, such as 0.02"]}, {"minLength": 33}]}
_NO_CONTAINER = {"minItems": 1, "maxItems": 0, "minProperties": 1, "maxProperties": 0}


def _metric_is(metric: str) -> Schema:
    # Checks of answers have no limit at all, and a rule that says so.
    return {"properties": {"metric": {"enum": [metric, "predictions", "feedback"]}}}


def _limit_max(keywords: Schema) -> Schema:
    return {"properties": {"limit": {"properties": {"max": keywords}}}}


_CONTAINER_RULES = [
    _rule(
        f"!has(self.name) || size(self.name) <= {_CONTAINER_NAME_MAX}",
        f"a container's name must have at most {_CONTAINER_NAME_MAX} characters, since Seldon puts "
        "it into the key of a label: shorten it, and graph.name with it",
    )
]
_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _component_spec() -> Schema:
    """A component spec stays Seldon's; only the names of containers are looked at."""
    name = {"type": "string", "maxLength": 253}
    container = {
        **_OPEN,
        "properties": {"name": name},
        "x-kubernetes-validations": _CONTAINER_RULES,
    }
    containers = {"type": "array", "maxItems": 50, "items": container}
    return {**_OPEN, "properties": {"spec": {**_OPEN, "properties": {"containers": containers}}}}


OVERRIDES: dict[str, dict[str, Any]] = {
    # The rules above say more than these would.
    "TemplateSpec.predictors": {"minItems": None, "maxItems": 20},
    "RolloutSpec.seldonDeploymentName": {"pattern": None, "maxLength": 253},
    "TemplatePredictor": {
        "properties": {
            "traffic": {"type": "integer", "description": "To be left out: Sluice sets it."},
            "shadow": {"type": "boolean", "description": "To be left out: Sluice sets it."},
            "annotations": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Annotations for the predictor's pods.",
            },
        }
    },
    "TemplatePredictor.componentSpecs[]": _component_spec(),
    "Risk.falseRollback": _NO_BOUNDS,
    "Risk.falsePromotion": _NO_BOUNDS,
    "Compare.negligibleBelow": _NO_BOUNDS,
    "Limit.quantile": _NO_BOUNDS,
    "Difference.acceptable": _NO_BOUNDS,
    "Difference.unacceptable": _NO_BOUNDS,
    "Difference.leastShare": _NO_BOUNDS,
    "Preflight.agreement": _NO_BOUNDS,
    "PreflightPerClass.agreement": _NO_BOUNDS,
    "Preflight.distance": _NO_BOUNDS,
    "Preflight.slower": _NO_BOUNDS,
    "Monitoring.falseAlarms": _NO_BOUNDS,
    "DecayWatch.tolerance": _NO_BOUNDS,
    "DriftWatch.threshold": {"minimum": None, "exclusiveMinimum": None},
    "PolicyRef.kind": {"pattern": None, "enum": [POLICY_KIND, CLUSTER_POLICY_KIND]},
    # `max` is a number or a string, which CEL cannot see: a structural schema has no type for it.
    # But a keyword for numbers says nothing about strings, and the other way round.
    "Limit.max": {
        "pattern": DURATION_PATTERN,
        "maxLength": 32,
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
        "not": {"enum": [True, False]},
        **_NO_CONTAINER,
    },
    "Check": {
        "allOf": [
            {"anyOf": [_metric_is("latency"), _limit_max(_NO_STRING)]},
            {"anyOf": [_metric_is("error-rate"), _limit_max(_NO_NUMBER)]},
        ]
    },
    "RolloutStatus.conditions": {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    },
}

SERVER_DEFAULTS = frozenset(
    {
        "PolicyRef.kind",
        "RolloutSpec.progressDeadlineSeconds",
        "RolloutSpec.revisionHistoryLimit",
    }
)
