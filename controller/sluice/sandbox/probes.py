"""Readiness, liveness and startup probes, as kubelet runs them, from a pod spec."""

from __future__ import annotations

import http.client
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sluice.sandbox.ports import listening

# Seldon's default probes wait 20 s and look every 5 s: right for a cluster, long for a demo.
LONGEST_DELAY = 1.0
LONGEST_PERIOD = 1.0

Ports = Mapping[str, int]


def container_port(value: int | str, ports: Ports) -> int:
    """A probe's port: a number, or the name of one of the container's ports (0: no such name)."""
    if isinstance(value, int) or value.isdigit():
        return int(value)
    return ports.get(value, 0)


def check(spec: Mapping[str, Any], address: str, ports: Ports) -> bool:
    """Run a probe once. `exec` probes always pass: there is no container to run them in."""
    timeout = float(spec.get("timeoutSeconds", 1))
    if action := spec.get("httpGet"):
        return _http(action, address, container_port(action["port"], ports), timeout)
    if action := spec.get("tcpSocket"):
        return listening(address, container_port(action["port"], ports), timeout)
    if action := spec.get("grpc"):
        return _grpc(f"{address}:{action['port']}", action.get("service", ""), timeout)
    return True


def _http(action: Mapping[str, Any], address: str, port: int, timeout: float) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        headers = {item["name"]: item["value"] for item in action.get("httpHeaders", ())}
        connection.request("GET", action.get("path", "/"), headers=headers)
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _grpc(target: str, service: str, timeout: float) -> bool:
    import grpc  # only needed where a pod asks for it

    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            return bytes(call(request, timeout=timeout)) == b"\x08\x01"  # status: SERVING
        except grpc.RpcError:
            return False


@dataclass
class Prober:
    """Counts one probe's results. `passing` is None before the first threshold is reached."""

    spec: Mapping[str, Any]
    passing: bool | None
    shortened: bool = False
    due: float = math.inf
    _streak: int = 0
    _last: bool | None = None

    @classmethod
    def of(
        cls, spec: Mapping[str, Any] | None, *, initially: bool | None, shortened: bool
    ) -> Prober | None:
        """A prober for a probe of a pod spec, if there is one."""
        return cls(spec, initially, shortened) if spec else None

    def begin(self, now: float, *, passing: bool | None) -> None:
        """The container has started: forget what was, and wait the initial delay."""
        delay = float(self.spec.get("initialDelaySeconds", 0))
        self.due = now + (min(delay, LONGEST_DELAY) if self.shortened else delay)
        self.passing, self._streak, self._last = passing, 0, None

    def run_if_due(self, now: float, run: Callable[[Mapping[str, Any]], bool]) -> None:
        """Run the probe if its time has come, and apply the thresholds."""
        if now < self.due:
            return
        period = float(self.spec.get("periodSeconds", 10))
        self.due = now + (min(period, LONGEST_PERIOD) if self.shortened else period)
        result = run(self.spec)
        self._streak = self._streak + 1 if result == self._last else 1
        self._last = result
        needed = "successThreshold" if result else "failureThreshold"
        if self._streak >= int(self.spec.get(needed, 1 if result else 3)):
            self.passing = result
