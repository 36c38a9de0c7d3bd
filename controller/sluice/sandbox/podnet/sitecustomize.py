"""Gives a Python process the network view of a pod: its own address, and its own localhost.

In a cluster every pod has a network namespace; here all pods share the machine's loopback, each
with an address of its own out of 127.64.0.0/10, in SLUICE_POD_IP. A server that listens on all
addresses (the model server has that hard-coded) would occupy its port for every pod, so what is
bound to "all addresses" or to localhost is bound to the pod's address, and what is connected to
localhost is connected there. Python runs a module of this name before anything else if it is on the
path; it needs nothing but the standard library, and works in any environment's interpreter.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import socket
import sys
from types import ModuleType
from typing import Any

POD_IP = os.environ.get("SLUICE_POD_IP", "")
_ANY = {"", "0.0.0.0", "localhost", "127.0.0.1"}  # noqa: S104 - these are what is replaced
_OWN = {"localhost", "127.0.0.1"}


def _moved(address: Any, hosts: set[str]) -> Any:
    if isinstance(address, tuple) and len(address) == 2 and address[0] in hosts:
        return (POD_IP, address[1])
    return address


def _moved_target(target: Any, hosts: set[str]) -> Any:
    """The same for gRPC's `host:port` strings."""
    if isinstance(target, str):
        scheme, _, rest = target.rpartition("///")
        host, _, port = rest.rpartition(":")
        if scheme in ("", "dns:") and port.isdigit() and host in hosts:
            return f"{POD_IP}:{port}"
    return target


def _patch_sockets() -> None:
    bind, connect, connect_ex = socket.socket.bind, socket.socket.connect, socket.socket.connect_ex

    def bind_here(self: socket.socket, address: Any) -> None:
        bind(self, _moved(address, _ANY) if self.family == socket.AF_INET else address)

    def connect_here(self: socket.socket, address: Any) -> None:
        connect(self, _moved(address, _OWN) if self.family == socket.AF_INET else address)

    def connect_ex_here(self: socket.socket, address: Any) -> int:
        return connect_ex(self, _moved(address, _OWN) if self.family == socket.AF_INET else address)

    socket.socket.bind = bind_here  # type: ignore[method-assign, assignment]
    socket.socket.connect = connect_here  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = connect_ex_here  # type: ignore[method-assign, assignment]


# gRPC opens its sockets in C: its classes are wrapped when (and if) they are imported.
_GRPC = {
    "grpc._server": ("_Server", "add_insecure_port", _ANY),
    "grpc.aio._server": ("Server", "add_insecure_port", _ANY),
    "grpc._channel": ("Channel", "__init__", _OWN),
    "grpc.aio._channel": ("Channel", "__init__", _OWN),
}


def _patch_grpc(module: ModuleType) -> None:
    class_name, method, hosts = _GRPC[module.__name__]
    cls = getattr(module, class_name)
    original = getattr(cls, method)

    def moved(self: Any, target: Any, *rest: Any, **named: Any) -> Any:
        return original(self, _moved_target(target, hosts), *rest, **named)

    setattr(cls, method, moved)


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: importlib.abc.Loader) -> None:
        self._inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        _patch_grpc(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        del target
        if name not in _GRPC:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


if POD_IP:
    _patch_sockets()
    sys.meta_path.insert(0, _Finder())
