"""Free loopback ports, and a loopback network per sandbox."""

from __future__ import annotations

import random
import socket
import threading

from sluice.errors import SandboxError

_handed_out: set[int] = set()
_lock = threading.Lock()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that is free now on `host`, and that this process has not handed out before.

    Between this answer and its use another process may take it: whoever starts a server on it
    tries once more with another port if the server cannot listen.
    """
    with _lock:
        for _ in range(200):
            with socket.socket() as probe:
                probe.bind((host, 0))
                port: int = probe.getsockname()[1]
            if port not in _handed_out:
                _handed_out.add(port)
                return port
    raise SandboxError(f"no free TCP port found on {host}")


def listening(host: str, port: int, timeout: float = 0.5) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return True
    except OSError:
        return False


class PodNetwork:
    """Addresses 127.x.y.2 to .254 for the pods of one sandbox (all of 127/8 is loopback on Linux).

    x.y is reserved machine-wide by an abstract Unix socket, which the kernel frees when its holder
    dies. An address is handed out again as late as possible, so that a client that still knows a
    dead pod's address meets nobody.
    """

    def __init__(self) -> None:
        self._holder, self.prefix = _reserve()
        self._lock = threading.Lock()
        self._free = [f"{self.prefix}.{host}" for host in range(2, 255)]

    def take(self) -> str:
        """An address for a pod. Raises SandboxError when all 253 are in use."""
        with self._lock:
            if not self._free:
                raise SandboxError(f"all pod addresses of {self.prefix}.0/24 are in use")
            return self._free.pop(0)

    def give_back(self, address: str) -> None:
        with self._lock:
            self._free.append(address)

    def close(self) -> None:
        self._holder.close()


def _reserve() -> tuple[socket.socket, str]:
    for _ in range(500):
        prefix = f"127.{random.randrange(64, 128)}.{random.randrange(0, 256)}"  # noqa: S311
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0sluice-pods-{prefix}")
        except OSError:
            holder.close()
            continue
        return holder, prefix
    raise SandboxError("no free pod network found in 127.64.0.0/10: are 500 sandboxes running?")
