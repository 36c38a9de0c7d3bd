"""Replays one recording on a stage, step by step, and collects what differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import Difference, Outcome
from .acting import Actor
from .judging import (
    Found,
    Templates,
    compare_answer,
    compare_events,
    compare_state,
    learn_templates,
    shown,
)
from .known import Known, reason_for
from .observing import Observer, path, routes_of
from .presets import is_race, left_out
from .recordings import Json, Recording
from .stage import Stage

# A state counts once it has agreed for this long: ten times what the operator takes to react.
_HOLD_SECONDS = 0.3
_LOOK_SECONDS = 0.03
_PATIENCE_SECONDS = 8.0
# Steps in which nothing must happen are watched for longer, though not for as long as recorded.
_WAIT_SECONDS = 1.0
_RACES = 3


class Replay:
    """One recording on one stage. `templates` is shared by all recordings.

    A state that differs only in what is `known` to differ ends the waiting, too.
    """

    def __init__(
        self, stage: Stage, recording: Recording, templates: Templates, known: list[Known]
    ) -> None:
        self._stage = stage
        self._recording = recording
        self._templates = templates
        self._known = known
        self._actor = Actor(stage)
        self._observer: Observer = stage.observer
        self._differences: list[Difference] = []

    def run(self) -> Outcome:
        """Replays every step. The stage is reset before and an operator runs afterwards."""
        start = time.monotonic()
        for _ in range(_RACES if is_race(self._recording) else 1):
            self._differences.clear()
            self._once()
            if all(reason_for(difference, self._known) for difference in self._differences):
                break
        if not self._stage.operator_runs():
            self._stage.start_operator()
        seconds = time.monotonic() - start
        name, steps = self._recording.name, len(self._recording.steps)
        return Outcome(name, steps, seconds, self._differences)

    def _once(self) -> None:
        self._stage.reset()
        for number, step in enumerate(self._recording.steps):
            self._step(number, step)
        self._events()

    def _step(self, number: int, step: Json) -> None:
        set_up = left_out(self._recording, step)
        if set_up is None:
            alternatives = [step["after"]] if "after" in step else []
            self._note(number, self._attempt(number, step, alternatives))
            return
        # Repeated tries are races: any of the recorded ends will do, and a try may be lost.
        ends = [step["after"], *(other["after"] for other in self._recording.steps)]
        differences: list[Found] = []
        for _ in range(_RACES):
            self._prepare(set_up)
            differences = self._attempt(number, step, ends)
            if all(self._is_known(number, difference) for difference in differences):
                break
        self._note(number, differences)

    def _attempt(self, number: int, step: Json, alternatives: list[Json]) -> list[Found]:
        differences: list[Found] = []
        answer = self._actor.act(step["do"])
        if answer is not None:
            differences += compare_answer(step, answer)
            differences += self._second_patch(answer)
        if alternatives:
            differences += self._settle(number, alternatives, wait="wait" in step["do"])
        elif "names" in step:
            differences += self._names(number, step)
        elif not step["do"].get("dryRun") and not step["do"].get("query"):
            self._quiet()
        return differences

    def _prepare(self, set_up: list[Json]) -> None:
        self._stage.reset(events=False)
        for do in set_up:
            self._actor.act(do)
            self._quiet()

    def _note(self, number: int, found: Iterable[Found]) -> None:
        self._differences += [
            Difference(self._recording.name, number, what, recorded, ours)
            for what, recorded, ours in found
        ]

    def _second_patch(self, answer: Json) -> Iterator[Found]:
        if "vs_patch" not in answer:
            return
        seen = {step["vs_patch"]["http_status"] for step in self._recording.steps}
        ours = answer["vs_patch"]["http_status"]
        if ours not in seen:
            yield "vs_patch.http_status", shown(sorted(seen)), shown(ours)

    def _settle(self, number: int, alternatives: list[Json], *, wait: bool) -> list[Found]:
        """Waits until one of the recorded states has held for a while."""
        hold = _WAIT_SECONDS if wait else _HOLD_SECONDS
        deadline = time.monotonic() + _PATIENCE_SECONDS
        agreed: tuple[float, Json] | None = None
        while True:
            found = self._observer.state(self._actor.name)
            differences, match = self._nearest(number, alternatives, found)
            now = time.monotonic()
            if match is None:
                agreed = None
                if now > deadline:
                    return differences
            elif agreed is None or agreed[1] is not match:
                agreed = (now, match)
            elif now - agreed[0] >= hold:
                learn_templates(match, found, self._templates)
                return differences
            time.sleep(_LOOK_SECONDS)

    def _nearest(
        self, step: int, alternatives: list[Json], found: Json
    ) -> tuple[list[Found], Json | None]:
        """The alternative that agrees but for what is known, else what differs from the first."""
        first: list[Found] = []
        for number, after in enumerate(alternatives):
            differences = compare_state(after, found, self._templates)
            if all(self._is_known(step, difference) for difference in differences):
                return differences, after
            if number == 0:
                first = differences
        return first, None

    def _is_known(self, step: int, found: Found) -> bool:
        return bool(reason_for(Difference(self._recording.name, step, *found), self._known))

    def _quiet(self) -> None:
        """Waits until nothing has changed for a while."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        before, since = self._observer.state(self._actor.name), time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            found = self._observer.state(self._actor.name)
            if found != before:
                before, since = found, time.monotonic()
            elif time.monotonic() - since >= _HOLD_SECONDS:
                return

    def _names(self, number: int, step: Json) -> list[Found]:
        """Steps about names: what was created, the labels, the state; then the routes."""
        differences = self._retry(lambda: self._compare_names(step))
        if "virtual_services" in step:
            # The routes were taken down after the Deployment had become ready, one step later.
            self._actor.act(self._recording.steps[number + 1]["do"])
            differences += self._retry(lambda: self._compare_routes(step))
        return differences

    def _retry(self, compare: Callable[[], list[Found]]) -> list[Found]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while differences := compare():
            if time.monotonic() > deadline:
                return differences
            time.sleep(_LOOK_SECONDS)
        return []

    def _compare_names(self, step: Json) -> list[Found]:
        found = self._observer.state(self._actor.name)
        ours = {
            "deployments": sorted(found["deployments"]),
            "services": sorted(service["name"] for service in found["services"]),
        }
        status = found["status"] or {}
        pairs: list[tuple[str, Any, Any]] = [("names", step["names"], ours)]
        pairs += [
            (f"status.{key}", step["status"][key], status.get(key))
            for key in ("state", "description")
        ]
        for deployment in found["deployments"].values():
            if "labels" in step:
                pairs.append(("labels", step["labels"], deployment["labels"]))
        return [(what, shown(one), shown(other)) for what, one, other in pairs if one != other]

    def _compare_routes(self, step: Json) -> list[Found]:
        # Only the REST rule was kept in these steps.
        routes = {
            obj["metadata"]["name"]: routes_of(obj)[:1]
            for obj in self._observer.items("VirtualService")
        }
        rules = self._observer.state(self._actor.name)["destination_rules"]
        pairs = [
            ("virtual_services", step["virtual_services"], routes),
            ("destination_rules", step["destination_rules"], rules),
        ]
        return [(what, shown(one), shown(other)) for what, one, other in pairs if one != other]

    def _events(self) -> None:
        deadline = time.monotonic() + 1.0
        while True:
            items = self._stage.wire.request("GET", path("Event")).body.get("items", [])
            found = list(compare_events(self._recording.events, items))
            if not found or time.monotonic() > deadline:
                self._note(-1, found)
                return
            time.sleep(0.1)
