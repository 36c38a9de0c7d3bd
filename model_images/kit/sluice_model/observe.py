"""`observed`: wraps a model so that its methods are counted, and changes nothing else of it."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sluice_model import profile as profiles
from sluice_model.board import Board
from sluice_model.counting import Counting
from sluice_model.export import Source, export
from sluice_model.series import Plan

_LOG = logging.getLogger("sluice_model")
PROFILE = "profile.json"
_QUIET = ("health_status", "health_status_raw")


def observed(target: Any = None, *, profile: str | Path | None = None, strict: bool = False) -> Any:
    """A model class, a plain function `predict(X, names)`, or a model object, observed.

    Use it as a decorator or as a function. A class stays a class of the same name that Seldon can
    make; a function becomes one. `profile` is a file beside the model's own unless its path is
    absolute (default: profile.json). What is wrong with it is logged, and the model serves without
    being observed; with `strict` it is raised as ProfileError (or ImportError without seldon_core).
    """
    if target is None:
        return functools.partial(observed, profile=profile, strict=strict)
    if not inspect.isclass(target):
        if inspect.isroutine(target):
            target = _class_of(target)
        else:
            model = target
            made = _observed_class(type(model), profile, strict)
            model.__class__ = made
            made._sluice_start(model)
            return model
    return _observed_class(target, profile, strict)


def _observed_class(target: type, profile: str | Path | None, strict: bool) -> type:
    where = Path(profile or PROFILE)
    if not where.is_absolute():
        where = _folder(target) / where

    def start(self: Any) -> None:
        if self._sluice is None:  # else a base class is observed already
            self._sluice = _start(where, strict)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        target.__init__(self, *args, **kwargs)
        start(self)

    body: dict[str, Any] = {
        "__init__": functools.wraps(target.__init__)(init),
        "__doc__": target.__doc__,
        "__module__": target.__module__,
        "__qualname__": target.__qualname__,
        "_sluice": None,
        "_sluice_start": start,
    }
    for name, make in _METHODS.items():
        if callable(getattr(target, name, None)):
            body[name] = functools.wraps(getattr(target, name))(make(getattr(target, name)))
    if "send_feedback_raw" not in body:
        body["send_feedback_raw"] = _feedback(None)
    return type(target.__name__, (target,), body)


def _start(where: Path, strict: bool) -> Counting | None:
    """Counters that are on the metrics page; None where that cannot be."""
    try:
        plan = Plan(profiles.load(where))
        plan.check()
        board = Board(plan.size)
        export(Source(plan, board))
        return Counting(plan, board)
    except Exception as error:
        if strict:
            raise
        _LOG.error("the model is served without being observed: %s", error)
        return None


# --- the methods, each made from the model's own. What the model raises goes through as it is.


def _counted(count: Callable[[Counting, tuple[Any, ...], dict[str, Any], Any], None]) -> Any:
    def make(theirs: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            counting = self._sluice
            if counting is None or not counting.outermost():
                return theirs(self, *args, **kwargs)
            try:
                given = theirs(self, *args, **kwargs)
                count(counting, args, kwargs, given)
                return given
            finally:
                counting.leave()

        return method

    return make


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(features, names, meta) of a call, whatever the model calls its parameters."""
    features = args[0] if args else next(iter(kwargs.values()), None)
    names = args[1] if len(args) > 1 else kwargs.get("names", kwargs.get("features_names"))
    return features, names, args[2] if len(args) > 2 else kwargs.get("meta")


def _predict(counting: Counting, args: Any, kwargs: Any, given: Any) -> None:
    counting.request(*_given(args, kwargs), given)


def _predict_raw(counting: Counting, args: Any, kwargs: Any, given: Any) -> None:
    counting.raw_request(args[0] if args else next(iter(kwargs.values()), None), given)


def _input(counting: Counting, args: Any, kwargs: Any, given: Any) -> None:
    counting.request(*_given(args, kwargs), None)


def _output(counting: Counting, args: Any, kwargs: Any, given: Any) -> None:
    counting.request(None, None, _given(args, kwargs)[2], given)


def _uncounted(counting: Counting, args: Any, kwargs: Any, given: Any) -> None:
    """A probe's prediction is no traffic."""


def _feedback(theirs: Callable[..., Any] | None) -> Callable[..., Any]:
    def send_feedback_raw(self: Any, feedback: Any) -> Any:
        if self._sluice is not None:
            self._sluice.feedback(feedback)
        if theirs is not None:
            return theirs(self, feedback)
        # Seldon then goes on as if the model had no such method: with its send_feedback, if any.
        from seldon_core.user_model import SeldonNotImplementedError

        raise SeldonNotImplementedError("send_feedback_raw is not implemented")

    return send_feedback_raw


_METHODS: dict[str, Callable[[Any], Any]] = {
    "predict": _counted(_predict),
    "predict_raw": _counted(_predict_raw),
    "transform_input": _counted(_input),
    "transform_output": _counted(_output),
    "send_feedback_raw": _feedback,
    **dict.fromkeys(_QUIET, _counted(_uncounted)),
}


def _class_of(function: Callable[..., Any]) -> type:
    """A class with this function as its `predict`, named as the function is."""

    def predict(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    body = {
        "predict": functools.wraps(function)(predict),
        "__module__": function.__module__,
        "__doc__": function.__doc__,
    }
    return type(function.__name__, (), body)


def _folder(target: type) -> Path:
    module = sys.modules.get(target.__module__)
    file = getattr(module, "__file__", None)
    return Path(file).resolve().parent if file else Path.cwd()
