"""Steady load through the gateway, in a process of its own: `python -m sluice.sandbox.load`.

Open loop: requests start on a fixed beat, whether or not earlier ones have been answered, so a
slow server is not spared. Each answer becomes one JSON line on the output file:
``{"t": Unix seconds at the start, "ms": duration, "code": status (0: no answer), "p": predictor}``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import aiohttp

# Flowers as in the iris data: mean sepal length and width, petal length and width (cm) by species.
_SPECIES = ((5.0, 3.4, 1.5, 0.25), (5.9, 2.8, 4.3, 1.3), (6.6, 3.0, 5.6, 2.0))
_SPREAD = 0.3
_TIMEOUT_SECONDS = 5.0  # by default


SPECIES = ("setosa", "versicolor", "virginica")


def flower(rng: random.Random, petals: float = 0.0) -> list[float]:
    """One made-up flower: four measures in cm, none below 0.1; `petals` are so much longer."""
    return labelled(rng, petals)[0]


def labelled(rng: random.Random, petals: float = 0.0) -> tuple[list[float], str]:
    """One made-up flower, and its species."""
    means = rng.choice(_SPECIES)
    longer = (0.0, 0.0, petals, 0.0)
    measures = [
        max(0.1, round(rng.gauss(mean, _SPREAD) + more, 2))
        for mean, more in zip(means, longer, strict=True)
    ]
    return measures, SPECIES[_SPECIES.index(means)]


def who_answered(headers: Mapping[str, str]) -> str:
    """The predictor that an answer came from, by the gateway's word; "" where it does not say.

    The sandbox's gateway names it. In a cluster Envoy's cluster does, as istiod calls it:
    ``outbound|8000|<predictor>|<host>``.
    """
    named = headers.get("x-sluice-predictor", "")
    parts = headers.get("x-sluice-upstream", "").split("|")
    return named or (parts[2] if len(parts) == 4 else "")


async def shoot(
    session: aiohttp.ClientSession, url: str, body: bytes, out: IO[str], began: float
) -> None:
    """One request and its line."""
    code, predictor = 0, ""
    clock = time.perf_counter()
    try:
        async with session.post(url, data=body) as answer:
            await answer.read()
            code, predictor = answer.status, who_answered(answer.headers)
    except (aiohttp.ClientError, TimeoutError):
        pass
    line = {
        "t": round(began, 3),
        "ms": round(1000 * (time.perf_counter() - clock), 1),
        "code": code,
        "p": predictor,
    }
    out.write(json.dumps(line) + "\n")


async def run(
    url: str,
    rate: float,
    out: IO[str],
    seed: int,
    seconds: float | None,
    petals: float,
    patience: float = _TIMEOUT_SECONDS,
) -> None:
    """Shoot until SIGTERM or for `seconds`; waits for the answers under way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    rng = random.Random(seed)  # noqa: S311 - test data
    timeout = aiohttp.ClientTimeout(total=patience)
    connector = aiohttp.TCPConnector(limit=200)
    under_way: set[asyncio.Task[Any]] = set()
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, headers=headers
    ) as session:
        start = time.perf_counter()
        shot = 0
        while not stop.is_set() and (seconds is None or shot < seconds * rate):
            due = start + shot / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            body = json.dumps({"data": {"ndarray": [flower(rng, petals)]}}).encode()
            task = asyncio.create_task(shoot(session, url, body, out, time.time()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            shot += 1
            if shot % 10 == 0:
                out.flush()
        if under_way:
            await asyncio.wait(under_way, timeout=patience)
    out.flush()


def main() -> None:
    """Parse the command line and shoot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=50.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--petals", type=float, default=0.0, help="cm that petals are longer")
    parser.add_argument(
        "--timeout",
        type=float,
        default=_TIMEOUT_SECONDS,
        help="seconds after which an answer is given up",
    )
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    with asked.out.open("a", buffering=1 << 16) as out:
        asyncio.run(
            run(
                asked.url,
                asked.rate,
                out,
                asked.seed,
                asked.seconds,
                asked.petals,
                asked.timeout,
            )
        )
    sys.exit(0)


if __name__ == "__main__":
    main()
