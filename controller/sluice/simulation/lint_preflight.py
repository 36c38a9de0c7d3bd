"""What is wrong with a ModelRollout's preflight, and with its requests where they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sluice.api.preflight import Preflight, PreflightPerClass
from sluice.compare.classes import PerClass
from sluice.compare.exact import tries_at, tries_needed
from sluice.compare.lines import content_of, requests_in, rows_of
from sluice.compare.totals import Tolerance
from sluice.errors import RequestsError
from sluice.simulation.files import Document
from sluice.simulation.findings import Finding, Level

CONFIG_MAP_KIND = "ConfigMap"
_WHERE = "spec.preflight"


def lint_preflight(
    namespace: str, preflight: Preflight | None, documents: Sequence[Document]
) -> list[Finding]:
    """Findings about `spec.preflight`; ConfigMaps among `documents` are read."""
    if preflight is None:
        return []
    source = preflight.requests.config_map
    where = f"{_WHERE}.requests.configMap"
    held = _config_map(namespace, source.name, documents)
    if held is None:
        what = f"ConfigMap {source.name} is not among the files, so its requests are not checked"
        fix = "give its file too; a rollout waits until it is there"
        return [Finding(Level.NOTE, where, what, fix)]
    if not held.content.get("data") and not held.content.get("binaryData"):
        what = f"{held.where}: {source.name} is empty"
        fix = f"if `sluice capture` fills it, give --key {source.key}; a rollout waits until then"
        return [Finding(Level.NOTE, where, what, fix)]
    try:
        content = content_of(held.content, source.key)
        rows = [rows_of(request) for request in requests_in(content)]
    except RequestsError as error:
        what = f"{held.where}: {source.name}/{source.key}: {error}"
        return [Finding(Level.ERROR, where, what, "correct it: the rollout would wait for it")]
    if not rows:
        what = f"{held.where}: {source.name}/{source.key} has no request"
        return [Finding(Level.ERROR, where, what, "put one request body on each line")]
    return _enough(preflight, sum(rows), len(rows))


def _enough(preflight: Preflight, rows: int, requests: int) -> list[Finding]:
    least = tries_needed(preflight.agreement, Tolerance().risk)
    found = []
    if rows < least:
        what = (
            f"{rows:,} rows can never show that {preflight.agreement:.4g} of them agree, even if "
            f"all do: that takes {least:,}"
        )
        fix = "send more requests, or lower agreement; 1 asks for no more than that all agree"
        found.append(Finding(Level.ERROR, f"{_WHERE}.agreement", what, fix))
    if preflight.per_class is not None and preflight.per_class.agreement < 1.0:
        found.append(_classes(preflight.per_class, rows))
    if preflight.slower is not None and requests < (halves := tries_needed(0.5, Tolerance().risk)):
        what = f"{requests} requests can never show that fewer than half are slower: {halves} can"
        fix = "send more requests, or remove slower"
        found.append(Finding(Level.ERROR, f"{_WHERE}.slower", what, fix))
    return found


def _classes(asked: PreflightPerClass, rows: int) -> Finding:
    """What of the classes so many rows can show. Which they are, only the stable says."""
    wanted, risk = asked.agreement, Tolerance().risk
    least, waited = tries_needed(wanted, risk), PerClass(wanted, asked.least_rows).waited_from(risk)
    where = f"{_WHERE}.perClass"
    if rows < least:
        what = (
            f"{rows:,} rows can never show that {wanted:.4g} of a class agree, even if all do: "
            f"that takes {least:,} of that class"
        )
        if rows < waited:
            what += "; only harm is judged"
        fix = "send more requests of each class, or lower perClass.agreement"
        return Finding(Level.WARNING if rows < waited else Level.ERROR, where, what, fix)
    what = f"a class is shown to agree with at least {least:,} rows of it, here {least / rows:.2g}"
    what += " of all rows; "
    if waited < least:
        what += f"the rollout waits for one with {waited:,} rows that cannot show it"
        fix = f"send {least:,} requests of each class at least, or remove leastRows"
    else:
        what += f"of one with fewer than {waited:,} only harm is judged"
        fix = f"see that the classes you care about have {max(least, waited):,}; {least:,} are "
        fix += "enough only where all agree"
        half = (1.0 + wanted) / 2
        if more := tries_at(half, wanted, risk):
            fix += f", {more:,} where {half:.4g} do"
    return Finding(Level.NOTE, where, what, fix)


def _config_map(namespace: str, name: str, documents: Sequence[Document]) -> Document | None:
    """The ConfigMap of that name; one that names no namespace goes with the rollout."""
    for document in documents:
        if document.kind != CONFIG_MAP_KIND or document.name != name:
            continue
        meta = document.content.get("metadata")
        there = meta.get("namespace") if isinstance(meta, Mapping) else None
        if not there or not namespace or there == namespace:
            return document
    return None
