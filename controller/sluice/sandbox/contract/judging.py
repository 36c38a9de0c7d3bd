"""Compares what was recorded with what was found, by the rules the recordings came with.

Not compared: milliseconds, the order across kinds, how often Events of one kind occurred, and a pod
template's hash itself: only which templates are equal, over all recordings, must agree.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .recordings import Json

Found = tuple[str, str, str]
_ADDRESS = re.compile(r"https://[^/\"]+/|dial tcp [^ ]+: ")
_SHOWN = 160
# Written by other controllers, or dependent on timing: their presence says nothing.
_CHANCE_EVENTS = ("InternalError", "UpdateFailed", "ClusterIPNotAllocated")
_OWN_EVENTS = ("Create", "Update", "Delete")


class Templates:
    """Which recorded template hash stands for which of ours, one to one, over all recordings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ours: dict[str, str] = {}
        self._recorded: dict[str, str] = {}

    def agree(self, recorded: str, ours: str) -> bool:
        with self._lock:
            return self._ours.get(recorded, ours) == ours and (
                self._recorded.get(ours, recorded) == recorded
            )

    def learn(self, recorded: str, ours: str) -> None:
        with self._lock:
            self._ours.setdefault(recorded, ours)
            self._recorded.setdefault(ours, recorded)


def shown(value: Any) -> str:
    """A value on one line, shortened in the middle."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    if len(text) <= _SHOWN:
        return text
    return text[: _SHOWN // 2] + " ... " + text[-_SHOWN // 2 :]


def same_words(text: Any) -> Any:
    """A message without the addresses that differ from one set-up to the next."""
    return _ADDRESS.sub("<address> ", text) if isinstance(text, str) else text


def compare_answer(step: Json, answer: Json) -> Iterator[Found]:
    """The API server's answer: accepted or not, HTTP status, message, reason, warnings."""
    for key in ("accepted", "http_status", "error", "reason", "warnings", "predictors_after"):
        if key in step and same_words(step[key]) != same_words(answer.get(key)):
            yield key, shown(step[key]), shown(answer.get(key))


def compare_state(after: Json, found: Json, templates: Templates) -> list[Found]:
    """Every difference between a recorded `after` and the state found."""
    differences: list[Found] = []
    for key in ("generation", "virtual_service_name", "virtual_service_generation"):
        if after.get(key) != found.get(key):
            differences.append((key, shown(after.get(key)), shown(found.get(key))))
    for key in ("services", "virtual_service", "hpas"):
        if key in after and after[key] != found[key]:
            differences.append((key, shown(after[key]), shown(found[key])))
    differences += _rules(after, found)
    if "deployments" in after:
        differences += _deployments(after["deployments"], found["deployments"], templates)
    if "status" in after:
        differences += _status(after["status"], found["status"])
    if "pods" in found:
        differences += _pods(after, found)
    return [(f"after.{what}", recorded, ours) for what, recorded, ours in differences]


def learn_templates(after: Json, found: Json, templates: Templates) -> None:
    """To be called with a state that agreed: from now on these templates stand for each other."""
    for name, recorded in (after.get("deployments") or {}).items():
        if name in found["deployments"]:
            ours = found["deployments"][name]["template_sha256"]
            templates.learn(recorded["template_sha256"], ours)


def compare_events(recorded: Json, events: list[Json]) -> Iterator[Found]:
    """Every reason (and, where known, message) of the operator's Events must occur at all."""
    ours = {(event["type"], event["reason"]) for event in events}
    messages = {(event["reason"], event["message"]) for event in events}
    for kind, reason, *rest in recorded.get("rows") or []:
        if _is_operators(reason) and (reason, rest[0]) not in messages:
            yield f"events.{reason}", shown(rest[0]), "none with this text"
        del kind
    for name in recorded.get("counts") or {}:
        kind, reason = name.split(" ", 1)
        if _is_operators(reason) and (kind, reason) not in ours:
            yield f"events.{reason}", "at least one", "none"


def _is_operators(reason: str) -> bool:
    return reason.startswith(_OWN_EVENTS) and reason not in _CHANCE_EVENTS


def _rules(after: Json, found: Json) -> Iterator[Found]:
    if "destination_rules" in after and after["destination_rules"] != found["destination_rules"]:
        yield (
            "destination_rules",
            shown(after["destination_rules"]),
            shown(found["destination_rules"]),
        )


def _deployments(recorded: Json, found: Json, templates: Templates) -> Iterator[Found]:
    if sorted(recorded) != sorted(found):
        yield "deployments", shown(sorted(recorded)), shown(sorted(found))
    for name in sorted(set(recorded) & set(found)):
        one, other = recorded[name], found[name]
        for key in ("generation", "replicas", "containers", "labels"):
            given = one.get(key)
            if given is not None and not isinstance(given, str) and given != other[key]:
                yield f"deployments.{name}.{key}", shown(given), shown(other[key])
        if bool(one.get("deleting")) != other["deleting"]:
            yield (
                f"deployments.{name}.deleting",
                shown(bool(one.get("deleting"))),
                shown(other["deleting"]),
            )
        yield from _deployment_status(f"deployments.{name}.status", one["status"], other["status"])
        if not templates.agree(one["template_sha256"], other["template_sha256"]):
            yield (
                f"deployments.{name}.template",
                f"equal to others with {one['template_sha256'][:12]}",
                "equal to other ones",
            )


def _deployment_status(where: str, recorded: Json, found: Json) -> Iterator[Found]:
    """Number by number and condition by condition. `terminatingReplicas` was not recorded."""
    for key in sorted({*recorded, *found} - {"conditions", "terminatingReplicas"}):
        if (recorded.get(key) or None) != (found.get(key) or None):
            yield f"{where}.{key}", shown(recorded.get(key)), shown(found.get(key))
    one, other = recorded.get("conditions") or {}, found.get("conditions") or {}
    for kind in sorted({*one, *other}):
        if one.get(kind) != other.get(kind):
            yield f"{where}.conditions.{kind}", shown(one.get(kind)), shown(other.get(kind))


def _status(recorded: Json | None, found: Json | None) -> Iterator[Found]:
    if recorded is None or found is None:
        if recorded or found:
            yield "status", shown(recorded), shown(found)
        return
    for key in sorted({*recorded, *found} - {"conditions", "serviceStatus"}):
        if recorded.get(key) != found.get(key):
            yield f"status.{key}", shown(recorded.get(key)), shown(found.get(key))
    services = recorded.get("serviceStatus") or []
    ours: Any = found.get("serviceStatus") or {}
    if (sorted(ours) if isinstance(services, list) else ours) != services:
        yield "status.serviceStatus", shown(services), shown(ours)
    conditions = {entry["type"]: entry for entry in found.get("conditions") or []}
    wanted = recorded.get("conditions") or {}
    if sorted(conditions) != sorted(wanted):
        yield "status.conditions", shown(sorted(wanted)), shown(sorted(conditions))
    for kind in sorted(set(conditions) & set(wanted)):
        given = wanted[kind] if isinstance(wanted[kind], dict) else {"status": wanted[kind]}
        held = {key: conditions[kind].get(key) for key in given}
        if held != given:
            yield f"status.conditions.{kind}", shown(given), shown(held)


def _pods(after: Json, found: Json) -> Iterator[Found]:
    """Pods are interchangeable: how many of each predictor are in which state."""
    if "pods" in after:
        one, other = _by_state(after["pods"]), _by_state(found["pods"])
        if one != other:
            yield "pods", shown(one), shown(other)
    recorded = after.get("ready_endpoints") or {}
    for service, pods in recorded.items():
        if len(pods) != found["ready_endpoints"].get(service, 0):
            ours = found["ready_endpoints"].get(service, 0)
            yield f"ready_endpoints.{service}", shown(len(pods)), shown(ours)


def _by_state(pods: Json) -> Json:
    counted = Counter(f"{name.split('#')[0]} {state}" for name, state in pods.items())
    return dict(sorted(counted.items()))
