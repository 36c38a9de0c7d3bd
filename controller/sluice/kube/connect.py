"""Where the API server is and who we are: a kubeconfig, or the pod's own service account."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes.client.configuration import Configuration
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import load_incluster_config
from kubernetes.config.kube_config import list_kube_config_contexts, load_kube_config

from sluice.errors import UsageError

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def load(kubeconfig: str | None, context: str | None) -> tuple[Configuration, str]:
    """The connection's configuration, and the namespace that holds when none is named.

    As kubectl looks: `kubeconfig`, else $KUBECONFIG (several files joined by ":"), else
    ~/.kube/config, else the pod's own service account. Raises UsageError if none works.
    """
    source = kubeconfig or os.environ.get("KUBECONFIG") or _home_config()
    if source is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _from_pod()
    if source is None:
        raise UsageError(
            "no kubeconfig found: neither --kubeconfig, $KUBECONFIG nor ~/.kube/config, and this "
            "is no pod of a cluster. Give --kubeconfig FILE"
        )
    return _from_file(source, context)


def _home_config() -> str | None:
    path = Path("~/.kube/config").expanduser()
    return str(path) if path.is_file() else None


def _from_file(source: str, context: str | None) -> tuple[Configuration, str]:
    if not any(Path(part).expanduser().is_file() for part in source.split(os.pathsep) if part):
        raise UsageError(f"the kubeconfig {source} cannot be used: there is no such file")
    configuration = Configuration()
    try:
        contexts, active = list_kube_config_contexts(config_file=source)  # type: ignore[no-untyped-call]
        load_kube_config(  # type: ignore[no-untyped-call]
            config_file=source, context=context, client_configuration=configuration
        )
    except (ConfigException, OSError, yaml.YAMLError) as error:
        wanted = f" (context {context})" if context else ""
        raise UsageError(f"the kubeconfig {source}{wanted} cannot be used: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"the kubeconfig {source} cannot be used: expected YAML with clusters, users and "
            f"contexts, as `kubectl config view` shows it ({type(error).__name__}: {error})"
        ) from error
    chosen = next((one for one in contexts if one["name"] == context), active)
    return configuration, str((chosen.get("context") or {}).get("namespace") or "default")


def _from_pod() -> tuple[Configuration, str]:
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise UsageError(f"the pod's service account cannot be used: {error}") from error
    namespace = POD_NAMESPACE.read_text().strip() if POD_NAMESPACE.is_file() else "default"
    return configuration, namespace
