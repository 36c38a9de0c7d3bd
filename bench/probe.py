"""What the controller's process used, by the kernel's count and by its own metrics."""

from __future__ import annotations

import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Reading:
    """One moment. `last_pulse` in Unix seconds; `phases`: rollouts by phase.

    `requests` is without watches and the lease.
    """

    cpu: float
    rss: float
    peak: float
    queries: float
    pulses: float
    pulse_seconds: float
    last_pulse: float
    requests: dict[str, float]
    phases: dict[str, int]

    @property
    def all_requests(self) -> float:
        """Their sum."""
        return sum(self.requests.values())


def read(pid: int, url: str) -> Reading:
    """CPU in seconds (user and system), memory in MiB, counters since the start."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    memory = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    single: dict[str, float] = {}
    requests: dict[str, float] = {}
    phases: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "sluice_api_requests_total":
                if sample.labels["verb"] != "watch" and "lease" not in sample.labels["resource"]:
                    what = f"{sample.labels['verb']} {sample.labels['resource']}"
                    requests[what] = requests.get(what, 0.0) + sample.value
            elif sample.name == "sluice_rollouts":
                phases[sample.labels["phase"]] = int(sample.value)
            elif not sample.labels:
                single[sample.name] = sample.value
    return Reading(
        cpu=(int(stat[11]) + int(stat[12])) / ticks,
        rss=int(memory["VmRSS"].split()[0]) / 1024,
        peak=int(memory["VmHWM"].split()[0]) / 1024,
        queries=single["sluice_queries_total"],
        pulses=single["sluice_pulse_seconds_count"],
        pulse_seconds=single["sluice_pulse_seconds_sum"],
        last_pulse=single["sluice_last_pulse_timestamp_seconds"],
        requests=requests,
        phases=phases,
    )
