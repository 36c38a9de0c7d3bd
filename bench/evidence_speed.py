"""CPU and memory of the evidence: 10,000 rollouts x 3 checks x 14 edges, one JSON line."""

from __future__ import annotations

import json
import resource
import time

import numpy as np

from sluice.evidence import EDGES, CheckPlan, EvidenceBank, Increment, Kind

PLANS = (
    CheckPlan("errors", Kind.COMPARE_RATE),
    CheckPlan("latency", Kind.COMPARE_LATENCY, 1.1, 2.0, 0.005),
    CheckPlan("slow", Kind.COMPARE_LATENCY, 1.5, 3.0, 0.01),
)


def main(rollouts: int = 10_000, updates: int = 5) -> None:
    rng = np.random.default_rng(1)
    bank = EvidenceBank()
    keys = [str(i) for i in range(rollouts)]
    for key in keys:
        bank.open(key, PLANS, EDGES)
    cpu = []
    for _ in range(updates):
        above = np.sort(rng.integers(0, 60, (rollouts, len(EDGES))))[:, ::-1].astype(float)
        increments = {
            key: Increment(60, 1, 240, 2, above[i], 4 * above[i]) for i, key in enumerate(keys)
        }
        start = time.process_time()
        bank.update(increments)
        cpu.append(time.process_time() - start)
    start = time.process_time()
    for key in keys:
        bank.results(key)
    reading = time.process_time() - start
    line = {
        "what": "evidence of all rollouts, one update",
        "rollouts": rollouts,
        "cpuSeconds": round(float(np.median(cpu)), 3),
        "readingCpuSeconds": round(reading, 3),
        "memoryMiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "stateBytes": len(bank.export("0")),
        "target": "cpuSeconds <= 1, memoryMiB <= 300",
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
