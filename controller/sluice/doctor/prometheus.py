"""Prometheus: reachable, on time, with the right series under the right labels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from sluice.doctor import answers
from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.doctor.predictors import Predictor, check_predictors
from sluice.doctor.server import SKEW_SECONDS
from sluice.doctor.survey import (
    NAMESPACE_LABELS,
    POD_LABELS,
    Survey,
    alternatives,
    choose,
    scrape_interval,
    survey,
)
from sluice.errors import MetricsError, MetricsUnavailableError
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import DIALECTS, Labels

SLOW_SCRAPES = 60.0
OLD_SECONDS = 60.0


@dataclass(frozen=True)
class Asked:
    """How the controller reads, or will read: `dialect` "" is not decided yet; pulse in seconds.

    `from_controller`: the address was found in the controller's Deployment.
    """

    dialect: str
    labels: Labels
    pulse: float
    from_controller: bool = False


def check(
    client: PrometheusClient,
    asked: Asked,
    predictors: list[Predictor],
    now: float,
    asking: answers.Asking = frozenset(),
) -> list[Finding]:
    """All about one Prometheus. `now`: Unix time, by the API server's clock if that is known.

    `asking`: SeldonDeployments whose answers are checked.
    """
    where = client.url
    try:
        clock = client.query("vector(time())", None)[0].value
        findings = [ok("PrometheusReachable", "answers queries", where), *_clock(clock, now, where)]
        surveys = [survey(client, name, asked.labels, clock) for name in DIALECTS]
        without = any(not predictor.executor for predictor in predictors)
        best = choose(surveys, without_executor=without)
        findings += _dialect(surveys, asked.dialect, best, where)
        if not best:
            if not client.query("count(up)", clock):
                findings.append(
                    error("PrometheusEmpty", "scrapes nothing at all", where, "look at its targets")
                )
            return findings
        by_name = {each.dialect: each for each in surveys}
        used = by_name.get(asked.dialect)
        if used is None or not used.series:
            used = by_name[best]
        namespaces = {predictor.target.namespace for predictor in predictors}
        findings += check_labels(used, asked.labels, namespaces, where)
        findings += _copies(used, asked.labels, where)
        findings += _scrapes(client, used.dialect, asked, clock)
        findings += check_predictors(client, used.dialect, asked.labels, predictors, clock)
        findings += answers.check(client, asked.labels, asking, predictors, clock)
        if client.warnings:
            findings.append(note("PrometheusWarns", "; ".join(client.warnings), where))
    except MetricsUnavailableError as failure:
        return [_unreachable(client.url, asked, failure)]
    except MetricsError as failure:
        remedy = "--prometheus-token-file, --prometheus-header or --prometheus-ca-file"
        return [error("PrometheusRefuses", str(failure), where, f"check the address, and {remedy}")]
    return findings


def _unreachable(url: str, asked: Asked, failure: MetricsError) -> Finding:
    if not asked.from_controller:
        return error("PrometheusUnreachable", str(failure), url, "check the address with curl")
    forward, port = port_forward(url)
    return note(
        "PrometheusNotFromHere",
        "the controller's Prometheus cannot be reached from here, which says nothing about the "
        f"cluster ({failure})",
        url,
        f"{forward} & sluice doctor --prometheus http://localhost:{port}",
    )


def port_forward(url: str) -> tuple[str, int]:
    """The kubectl command that brings a Service's URL to this machine, and the local port."""
    parts = urlsplit(url)
    service, _, rest = (parts.hostname or "prometheus").partition(".")
    namespace = rest.partition(".")[0] or "monitoring"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    local = port if port > 1023 else 9090
    return f"kubectl -n {namespace} port-forward svc/{service} {local}:{port}", local


def _clock(clock: float, now: float, where: str) -> list[Finding]:
    ahead = clock - now
    if abs(ahead) <= SKEW_SECONDS:
        return []
    return [
        warning(
            "PrometheusClockSkew",
            f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the "
            "cluster's: newest samples come late, or are taken for old ones",
            where,
            "set the clocks (NTP)",
        )
    ]


def _dialect(surveys: list[Survey], configured: str, best: str, where: str) -> list[Finding]:
    counts = ", ".join(f"{each.dialect} {each.series}" for each in surveys)
    flag = f"sluice controller --dialect={best} (helm: --set prometheus.dialect={best})"
    if not best:
        return [
            warning(
                "NoRequestMetrics",
                f"no dialect has series ({counts}): nothing was requested yet, or neither model "
                "pods nor gateway are scraped",
                where,
                "send a request; docs/metrics.md has scrape configurations",
            )
        ]
    having = {each.dialect: each.series for each in surveys}
    if configured and not having.get(configured):
        return [
            error(
                "DialectWithoutSeries",
                f"the controller reads the dialect {configured}, which has no series here; "
                f"use {best} (series: {counts})",
                where,
                flag,
            )
        ]
    if configured and configured != best:
        what = f"{configured} has series; {best} would see more of this cluster (series: {counts})"
        return [note("OtherDialectFitsBetter", what, where, flag)]
    if configured:
        return [ok("DialectHasSeries", f"{configured} has series (series: {counts})", where)]
    return [note("DialectChoice", f"use the dialect {best} (series: {counts})", where, flag)]


def check_labels(
    found: Survey, labels: Labels, namespaces: Collection[str], where: str
) -> list[Finding]:
    """Whether the series carry the labels by which pods and predictors are found."""
    findings = []
    if found.dialect == "seldon":
        # The mesh's own labels have the namespace.
        findings += _label(
            found, "namespace", labels.namespace, NAMESPACE_LABELS, namespaces, where
        )
    findings += _label(found, "pod", labels.pod, POD_LABELS, (), where)
    if not findings:
        needed = f"{labels.namespace} and {labels.pod}"
        needed = needed if found.dialect == "seldon" else labels.pod
        findings.append(ok("SeriesLabelled", f"{found.dialect} series carry {needed}", where))
    return findings


def _label(
    found: Survey,
    role: str,
    name: str,
    usual: tuple[str, ...],
    known: Collection[str],
    where: str,
) -> list[Finding]:
    having = found.having(name)
    others = [other for other in alternatives(found, usual, known) if other != name]
    if others:
        flag = f"--{role}-label={others[0]}"
        remedy = f"sluice controller {flag} (helm: --set prometheus.{role}Label={others[0]})"
    else:
        remedy = f"relabel __meta_kubernetes_{_META[role]} to {name}: docs/metrics.md"
    if not having:
        what = f"{found.dialect} series have no label {name}"
        likely = f"; {others[0]} looks like it" if others else ""
        return [error(_MISSING[role], what + likely, where, remedy)]
    if known and not set(having) & set(known):
        shown = ", ".join(sorted(set(having))[:3])
        fitting = any(set(found.having(other)) & set(known) for other in others)
        level = error if fitting else warning
        what = f"the label {name} is {shown}, where no SeldonDeployment is"
        return [level("NamespaceLabelWrong", what, where, remedy)]
    if len(having) < len(found.rows):
        what = f"{len(found.rows) - len(having)} of {len(found.rows)} targets lack {name}"
        return [warning("LabelOnSomeSeries", what + ": they are not counted", where, remedy)]
    return []


_MISSING = {"namespace": "NamespaceLabelMissing", "pod": "PodLabelMissing"}
_META = {"namespace": "namespace", "pod": "pod_name"}


def _copies(found: Survey, labels: Labels, where: str) -> list[Finding]:
    twice = found.copies(labels)
    if not twice:
        return []
    (_, pod), copies = sorted(twice.items())[0]
    as_what = " and ".join("/".join(filter(None, copy)) for copy in sorted(copies))
    return [
        error(
            "ScrapedTwice",
            f"{len(twice)} pods are counted more than once, such as {pod} as {as_what}: evidence "
            "looks stronger than it is, and the policy's risks are not kept",
            where,
            "keep one scrape job for these pods; behind Thanos or Mimir switch deduplication on",
        )
    ]


def _scrapes(client: PrometheusClient, dialect: str, asked: Asked, clock: float) -> list[Finding]:
    gap, last = scrape_interval(client, dialect, asked.labels, clock)
    findings = []
    if last is not None and clock - last > max(OLD_SECONDS, 2 * (gap or 0)):
        findings.append(
            warning(
                "MetricsOld",
                f"the newest {dialect} sample is {clock - last:.0f} s old",
                client.url,
                "look at Prometheus' targets page, or at its remote-write lag",
            )
        )
    if gap is None:
        return findings
    pulse = f"the pulse is {asked.pulse:g} s"
    if gap > SLOW_SCRAPES:
        findings.append(
            warning(
                "ScrapesSlow",
                f"{dialect} metrics are scraped every {gap:.0f} s, {pulse}: harm is found a scrape "
                "or two late",
                client.url,
                "scrape_interval: 15s for this job",
            )
        )
    elif gap > asked.pulse * 1.1:
        findings.append(
            note(
                "ScrapesSlowerThanPulse",
                f"{dialect} metrics are scraped every {gap:.0f} s, {pulse}: pulses in between see "
                "nothing new",
                client.url,
                f"scrape_interval: {asked.pulse:g}s, or sluice controller --pulse={gap:.0f}",
            )
        )
    else:
        findings.append(
            ok("ScrapesOften", f"{dialect} is scraped every {gap:.3g} s, {pulse}", client.url)
        )
    return findings
