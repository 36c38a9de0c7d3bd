"""`sluice status -w`: a live screen on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from sluice.api.status import Phase, RolloutStatus
from sluice.cli.checks_view import RateMeter
from sluice.cli.following import BACK, Follower
from sluice.cli.options import Output
from sluice.cli.output import console, print_data
from sluice.cli.policies import policy_for_view
from sluice.cli.rollout_events import newest_events
from sluice.cli.story import Story
from sluice.cli.view import Beside, details
from sluice.clock import Clock, SystemClock
from sluice.errors import NotFoundError, WaitTimeoutError
from sluice.kube.client import Client

Object = dict[str, Any]
_REDRAWS_A_SECOND = 2


def ended(obj: Object) -> bool:
    """The controller has seen this generation and has nothing more to do for it."""
    status = RolloutStatus.model_validate(obj.get("status") or {})
    seen = status.observed_generation == obj["metadata"].get("generation")
    ready = status.condition("Ready")
    settled = status.phase is Phase.ROLLED_BACK or (ready is not None and ready.status == "True")
    return seen and not status.phase.active and settled


class Picture:
    """The newest state and what belongs beside it, ready to be drawn at any moment."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._meter = RateMeter()
        self._policy_of: tuple[Any, Any] | None = None
        self._policy: Any = None
        self._object: Object = {}
        self._note = ""
        self._beside = Beside()

    def take(self, obj: Object) -> None:
        """Take a new state in; asks the API server for events, and for the policy if it changed."""
        status = RolloutStatus.model_validate(obj.get("status") or {})
        key = (obj["metadata"].get("generation"), status.started_at)
        if self._policy_of != key:
            self._policy_of, self._policy = key, policy_for_view(self._client, obj)
        rate = self._meter.look(status)
        self._beside = Beside(self._policy, newest_events(self._client, obj), rate)
        self._object = obj

    def tell(self, note: str) -> None:
        """A line below the picture: an old one must not look like a new one."""
        self._note = "" if note == BACK else note

    def draw(self) -> Any:
        """The picture, with times as of now."""
        picture = details(self._object, self._beside, self._clock.now())
        return Group(picture, Text(self._note, style="yellow")) if self._note else picture


def follow_status(
    client: Client, obj: Object, output: Output, timeout: float | None, clock: Clock | None = None
) -> Object:
    """Show each change until the rollout has ended, and return its last state.

    Raises WaitTimeoutError, and NotFoundError when it is deleted meanwhile.
    """
    clock = clock or SystemClock()
    if output is not Output.TABLE:
        show = lambda o: print_data(o, output)  # noqa: E731
        return _until_ended(client, obj, timeout, clock, show, _to_log)
    picture = Picture(client, clock)
    if not sys.stdout.isatty():
        story = Story()
        append = lambda o: _append(story, o, clock)  # noqa: E731
        last = _until_ended(client, obj, timeout, clock, append, _to_log)
        picture.take(last)
        console().print(picture.draw())
        return last
    picture.take(obj)
    live = Live(
        get_renderable=picture.draw, console=console(), refresh_per_second=_REDRAWS_A_SECOND
    )
    with live:
        return _until_ended(client, obj, timeout, clock, picture.take, picture.tell)


def _to_log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _append(story: Story, obj: Object, clock: Clock) -> None:
    if line := story.line(obj, clock.now()):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _until_ended(
    client: Client,
    obj: Object,
    timeout: float | None,
    clock: Clock,
    show: Callable[[Object], None],
    tell: Callable[[str], None],
) -> Object:
    meta = obj["metadata"]
    key = f"{meta['namespace']}/{meta['name']}"
    follower = Follower(
        client, meta["namespace"], name=meta["name"], seconds=timeout, clock=clock, tell=tell
    )
    try:
        for change in follower.changes():
            if change.object is None:
                raise NotFoundError(f"ModelRollout {key} was deleted")
            obj = change.object
            show(obj)
            if ended(obj):
                break
    except WaitTimeoutError:
        raise WaitTimeoutError(
            f"{key} has not ended within {timeout:g}s: it is in phase "
            f"{(obj.get('status') or {}).get('phase', 'Idle')}"
        ) from None
    return obj
