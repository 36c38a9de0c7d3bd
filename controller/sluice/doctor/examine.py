"""All checks in their order: what one learns, the next ones use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sluice.clock import Clock
from sluice.doctor import (
    answers,
    controller,
    crds,
    deployments,
    prometheus,
    rights,
    rollouts,
    routing,
    seldon_core,
    server,
)
from sluice.doctor.findings import Finding, error, note, of_check
from sluice.doctor.predictors import predictors_of
from sluice.doctor.reading import Object, Objects, Reading
from sluice.errors import ApiError
from sluice.kube.client import Client
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import Labels
from sluice.metrics.queries import AS_USUAL
from sluice.resources import MODEL_ROLLOUTS, SELDON_DEPLOYMENTS

Found = TypeVar("Found")

PrometheusAt = Callable[[str], PrometheusClient]
"""Makes a client of the Prometheus at a URL."""


@dataclass(frozen=True)
class Question:
    """What to look at. "" and None: as the controller has it, else the defaults.

    `scope`: namespace of SeldonDeployments and ModelRollouts, None: all. `system_namespace`: where
    the controller is looked for when Deployments may not be listed everywhere.
    """

    scope: str | None
    prometheus: Sequence[str] = ()
    dialect: str = ""
    namespace_label: str = ""
    pod_label: str = ""
    system_namespace: str = "sluice-system"
    default_labels: Labels = AS_USUAL
    default_dialect: str = "seldon"
    default_pulse: float = 10.0


class Examination:
    """One run. `findings` grows group by group."""

    def __init__(
        self, client: Client, connect: PrometheusAt, clock: Clock, question: Question
    ) -> None:
        self._client = client
        self._connect = connect
        self._clock = clock
        self._question = question
        self._reading = Reading(client, question.scope)
        self.findings: list[Finding] = []
        self._asking: answers.Asking = frozenset()

    def run(self) -> list[Finding]:
        """Everything. Never raises for what it meets in the cluster or in Prometheus."""
        now = self._clock.now()
        seen, findings = server.check(self._client, now)
        self._add("server", findings)
        now += seen.ahead or 0.0
        found = controller.Found(self._question.system_namespace, known=False)
        seldons: list[Object] = []
        if seen.reachable:
            found, seldons = self._cluster(found, now)
        self._prometheus(found, seldons, now)
        return self.findings

    def _cluster(
        self, nothing: controller.Found, now: float
    ) -> tuple[controller.Found, list[Object]]:
        reading = self._reading
        self._group("crds", lambda: (None, crds.check(reading)), None)
        found = self._group("controller", lambda: self._controller(now), nothing)
        watched = found.settings.namespaces
        if found.deployment is not None or not found.known:
            account = found.service_account
            self._group(
                "rights", lambda: (None, rights.check(self._client, account, watched)), None
            )
        operator = self._group("seldon", self._seldon, None)
        dialect = self._question.dialect or found.settings.dialect

        def examined() -> tuple[Objects, list[Finding]]:
            listed = reading.in_scope(SELDON_DEPLOYMENTS) or []
            return listed, deployments.check(listed, operator, dialect)

        none: Objects = []
        seldons = self._group("deployments", examined, none)
        self._group("routing", lambda: (None, routing.check(reading, operator, seldons)), None)
        self._group("rollouts", lambda: (None, self._rollouts(watched)), None)
        return found, seldons

    def _controller(self, now: float) -> tuple[controller.Found, list[Finding]]:
        found, findings = controller.find(self._reading, self._question.system_namespace)
        lease = controller.check_lease(self._reading, found, now)
        return found, [*findings, *controller.check(found), *lease]

    def _seldon(self) -> tuple[seldon_core.Operator | None, list[Finding]]:
        operator = seldon_core.find_operator(self._reading)
        return operator, seldon_core.check(self._reading, operator)

    def _rollouts(self, watched: Sequence[str]) -> list[Finding]:
        listed = self._reading.in_scope(MODEL_ROLLOUTS)
        if listed is None:
            return []
        self._asking = answers.asking(self._reading, listed)
        return rollouts.check(listed, watched)

    def _prometheus(self, found: controller.Found, seldons: list[Object], now: float) -> None:
        question, settings = self._question, found.settings
        urls = list(question.prometheus)
        if not urls and settings.prometheus_url:
            urls = [settings.prometheus_url]
            said = note(
                "PrometheusOfController",
                "looked at this one, as the controller's Deployment says",
                urls[0],
                "sluice doctor --prometheus URL",
            )
            self._add("prometheus", [said])
        elif not urls:
            said = note(
                "PrometheusNotChecked",
                "no Prometheus was given, and no controller names one",
                "",
                "sluice doctor --prometheus http://localhost:9090",
            )
            self._add("prometheus", [said])
        asked = self._asked(found)
        for url in urls:
            client = self._connect(url)
            try:
                about = prometheus.check(client, asked, predictors_of(seldons), now, self._asking)
            finally:
                client.close()
            self._add("prometheus", about)

    def _asked(self, found: controller.Found) -> prometheus.Asked:
        question, settings = self._question, found.settings
        usual = question.default_labels
        dialect = question.dialect or settings.dialect
        if not dialect and found.deployment is not None:
            dialect = question.default_dialect
        return prometheus.Asked(
            dialect,
            Labels(
                question.namespace_label or settings.namespace_label or usual.namespace,
                question.pod_label or settings.pod_label or usual.pod,
            ),
            settings.pulse or question.default_pulse,
            from_controller=not question.prometheus,
        )

    def _group(
        self, name: str, check: Callable[[], tuple[Found, list[Finding]]], otherwise: Found
    ) -> Found:
        """Run the checks of a group; what they learnt, or `otherwise` when the server failed."""
        learnt = otherwise
        try:
            learnt, findings = check()
        except ApiError as failure:
            findings = [error("CheckFailed", str(failure), name, "run it again")]
        self._add(name, [*findings, *self._reading.take_notes()])
        return learnt

    def _add(self, group: str, findings: list[Finding]) -> None:
        self.findings += of_check(group, findings)
