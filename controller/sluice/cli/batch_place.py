"""What the command line of `sluice batch` says about where to send to."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.cli import batch_target
from sluice.cli.batch_progress import Meter
from sluice.cli.batch_target import RolloutWatch, Target
from sluice.cli.options import connect
from sluice.clock import Clock
from sluice.errors import SluiceError, UsageError
from sluice.kube.client import Client


@dataclass(frozen=True)
class Place:
    """The options. Exactly one of `deployment` and `url` is to be given."""

    deployment: str | None
    predictor: str | None
    revision: str | None
    url: str | None
    gateway: str
    given_namespace: str | None
    context: str | None
    kubeconfig: str | None

    def target(self, method: str) -> Target:
        """Raises UsageError for options that contradict each other or name nothing."""
        if (self.url is None) == (self.deployment is None):
            raise UsageError("give either --deployment NAME or --url URL: where the model is")
        if self.url is not None:
            if self.predictor or self.revision:
                raise UsageError("--predictor and --revision need --deployment, not --url")
            return batch_target.by_url(self.url, method)
        name, namespace = str(self.deployment), self.namespace
        if self.predictor and self.revision:
            raise UsageError("give --predictor or --revision, not both")
        predictor = self.predictor
        if self.revision:
            predictor = batch_target.predictor_of(self.client(), namespace, name, self.revision)
        if predictor:
            return batch_target.to_predictor(namespace, name, predictor, method)
        return batch_target.through_gateway(self.gateway, namespace, name, method)

    @property
    def namespace(self) -> str:
        """As kubectl finds it. Raises UsageError where there is no kubeconfig to say it."""
        if self.given_namespace:
            return self.given_namespace
        try:
            return connect(self.kubeconfig, self.context, None)[1]
        except SluiceError as error:
            raise UsageError(f"in which namespace? Give -n NAMESPACE ({error})") from error

    def client(self) -> Client:
        """Raises UsageError where there is no cluster to connect to."""
        return connect(self.kubeconfig, self.context, self.given_namespace)[0]

    def watch(self, target: Target, clock: Clock, meter: Meter, *, must: bool) -> RolloutWatch:
        """Already looked once, if the target's traffic is split at all."""
        namespace = self.namespace if target.watched else ""
        watch = RolloutWatch(self.client, namespace, str(self.deployment), clock)
        if not target.watched:
            if must:
                raise UsageError("--wait-for-rollout is for --deployment through the gateway")
            return watch
        watch.look()
        if watch.blind and must:
            raise UsageError(f"--wait-for-rollout cannot look for one: {watch.blind}")
        if watch.blind:
            meter.say(f"note: whether a rollout is in progress is not known: {watch.blind}")
        else:
            watch.start()
        return watch
