"""etcd, the real kube-apiserver and (if wanted) the real kube-controller-manager, on loopback.

Every client is a user of its own with its own token, so that the roles Sluice ships are what the
sandbox's controller really has. The server's certificate is self-signed and pinned in every
kubeconfig; nothing skips verification.
"""

from __future__ import annotations

import secrets
import ssl
import urllib.request
from collections.abc import Callable
from pathlib import Path

import yaml

from sluice.errors import SandboxError
from sluice.sandbox import parts
from sluice.sandbox.certificates import signing_key
from sluice.sandbox.ports import free_port
from sluice.sandbox.processes import Supervisor, write_atomically
from sluice.sandbox.progress import Progress, Silent

# User -> groups. Only `admin`, `kcm` and the stand-ins for cluster parts are above RBAC.
USERS: dict[str, tuple[str, ...]] = {
    "admin": ("system:masters",),
    "kube-controller-manager": ("system:masters",),
    "kubelet": ("system:masters",),
    "gateway": ("system:masters",),
    "seldon-operator": ("system:masters",),
    "prometheus": ("system:masters",),
    "sluice-controller": ("sluice",),
    "sluice-operator": ("sluice",),
    "sluice-viewer": ("sluice",),
    "nobody": ("sluice",),
}
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "disruption-controller",
)
START_ATTEMPTS = 3


class ControlPlane:
    """A Kubernetes control plane in `directory`. `start` returns when it answers.

    `controllers=False` leaves the kube-controller-manager out: objects are stored and validated,
    but no Deployment makes a Pod and nothing is garbage-collected.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        directory: Path,
        *,
        controllers: bool = True,
        extra_controllers: tuple[str, ...] = (),
        users: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._directory = directory
        self._controllers = CONTROLLERS + extra_controllers if controllers else ()
        self._users = users or USERS
        self._tokens: dict[str, str] = {}
        self._port = 0
        self._etcd_url = ""

    @property
    def url(self) -> str:
        """Where the API server listens: https://127.0.0.1:PORT."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def certificate(self) -> Path:
        """The PEM file to verify the server with."""
        return self._directory / "pki" / "apiserver.crt"

    def token(self, user: str) -> str:
        """The bearer token of one of the users given at construction (`USERS`)."""
        if user not in self._tokens:
            raise SandboxError(f"no user {user}: there are {', '.join(sorted(self._tokens))}")
        return self._tokens[user]

    def kubeconfig(self, user: str = "admin", *, namespace: str = "default") -> Path:
        """A kubeconfig (mode 0600) for one user, with the certificate pinned."""
        path = self._directory / "kubeconfigs" / f"{user}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        context = {"cluster": "sandbox", "user": user, "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.token(user)}}],
            "contexts": [{"name": "sandbox", "context": context}],
            "current-context": "sandbox",
        }
        write_atomically(path, yaml.safe_dump(config, sort_keys=False))
        return path

    def start(self, progress: Progress | None = None) -> None:
        """Start all of it. Raises ToolError (a part is missing) or SandboxError (it fails)."""
        progress = progress or Silent()
        for name in ("etcd", "kube-apiserver"):
            parts.ensure(name, progress)
        self._write_secrets()
        with progress.step("start etcd", about_seconds=1):
            self._retry_ports(self._start_etcd)
        with progress.step("start the API server", about_seconds=4):
            self._retry_ports(self._start_api_server)
        if self._controllers:
            self.start_controllers(progress, self._controllers)

    def start_controllers(
        self, progress: Progress | None = None, controllers: tuple[str, ...] = CONTROLLERS
    ) -> None:
        """Start the kube-controller-manager, for who built this with `controllers=False`.

        The garbage collector learns of new kinds only every 30 s: start it after the CRDs exist.
        """
        progress = progress or Silent()
        parts.ensure("kube-controller-manager", progress)
        with progress.step("start the controller manager"):
            self._start_controller_manager(controllers)

    def stop(self) -> None:
        """Stop all of it, the data stays."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self._supervisor.stop(name)

    def restart_api_server(self, *, crash: bool = False) -> None:
        """Stop the API server (`crash`: SIGKILL) and start it on the same address."""
        self._supervisor.stop("kube-apiserver", grace=0.0 if crash else None)
        self._launch_api_server()

    def ready(self) -> bool:
        """Whether GET /readyz answers 200."""
        try:
            context = ssl.create_default_context(cafile=str(self.certificate))
            request = urllib.request.Request(  # noqa: S310 - loopback, our own
                f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.token('admin')}"}
            )
            with urllib.request.urlopen(request, timeout=2, context=context) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def _write_secrets(self) -> None:
        pki = self._directory / "pki"
        pki.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._tokens = {user: secrets.token_urlsafe(24) for user in self._users}
        lines = [
            f'{self._tokens[user]},{user},{user},"{",".join(groups)}"'
            for user, groups in self._users.items()
        ]
        write_atomically(pki / "tokens.csv", "\n".join(lines) + "\n")
        signing_key(pki, "service-account")

    @staticmethod
    def _retry_ports(start: Callable[[], None]) -> None:
        # A port found free may be taken before the server listens on it: try others.
        for attempt in range(START_ATTEMPTS):
            try:
                start()
            except SandboxError as error:
                if attempt + 1 == START_ATTEMPTS or "address already in use" not in str(error):
                    raise
            else:
                return

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._etcd_url = client
        self._supervisor.start(
            "etcd",
            [
                str(parts.ensure("etcd")),
                f"--data-dir={self._directory / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
            ready=lambda: _answers(f"{client}/health"),
            deadline=120,
        )

    def _start_api_server(self) -> None:
        self._port = free_port()
        self._launch_api_server()

    def _launch_api_server(self) -> None:
        pki = self._directory / "pki"
        self._supervisor.start(
            "kube-apiserver",
            [
                str(parts.ensure("kube-apiserver")),
                f"--etcd-servers={self._etcd_url}",
                f"--secure-port={self._port}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                "--endpoint-reconciler-type=none",
                f"--cert-dir={pki}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-signing-key-file={pki / 'service-account.key'}",
                f"--service-account-key-file={pki / 'service-account.key'}",
                "--service-cluster-ip-range=10.96.0.0/16",
                f"--token-auth-file={pki / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--disable-admission-plugins=ServiceAccount",
                "--allow-privileged=true",
                "--enable-priority-and-fairness=false",
                "--watch-cache=true",
                "--v=1",
            ],
            ready=self.ready,
            deadline=180,
            grace=1.0,  # it would wait a minute for the watches of others to end
        )

    def _start_controller_manager(self, controllers: tuple[str, ...]) -> None:
        self._supervisor.start(
            "kube-controller-manager",
            [
                str(parts.ensure("kube-controller-manager")),
                f"--kubeconfig={self.kubeconfig('kube-controller-manager')}",
                f"--controllers={','.join(controllers)}",
                "--leader-elect=false",
                "--use-service-account-credentials=false",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
                "--secure-port=0",
                "--v=1",
            ],
        )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - loopback, our own
            return bool(answer.status == 200)
    except OSError:
        return False
