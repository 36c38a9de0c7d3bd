"""A uniform sample, whatever comes, within its bounds."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.capture.sample import Sample


def fed(sample: Sample, bodies: list[bytes]) -> Sample:
    for body in bodies:
        drawn = sample.draw()
        if drawn is not None:
            sample.add(drawn, body)
    return sample


def numbers(count: int, *, length: int = 1) -> list[bytes]:
    return [str(n).encode().rjust(length) for n in range(count)]


@given(st.integers(1, 20), st.lists(st.integers(1, 30), max_size=60), st.integers(1, 200))
def test_both_bounds_hold_whatever_comes(keep: int, sizes: list[int], most: int) -> None:
    sample = fed(Sample(keep, most, random.Random(1)), [b"x" * size for size in sizes])
    held = sample.bodies()
    assert len(held) == len(sample) <= keep
    assert sum(map(len, held)) == sample.bytes <= most


def test_what_fits_is_all_kept() -> None:
    sample = fed(Sample(10, 1000, random.Random(1)), numbers(10))
    assert sorted(sample.bodies()) == numbers(10)


@pytest.mark.parametrize("most", [10**6, 5 * 4])
def test_each_request_has_the_same_odds_early_or_late(most: int) -> None:
    """4,000 samples of 5 of 40: with the count as the bound, and with bytes."""
    rng, counts = random.Random(7), Counter[bytes]()
    for _ in range(4000):
        keep = 5 if most == 10**6 else 100
        counts.update(fed(Sample(keep, most, rng), numbers(40, length=4)).bodies())
    # 500 each on average, with a standard deviation of 21.
    assert len(counts) == 40
    assert all(abs(count - 500) < 5 * 21 for count in counts.values())


def test_the_first_of_a_sample_are_a_sample_too() -> None:
    rng, first = random.Random(3), Counter[bytes]()
    for _ in range(4000):
        first[fed(Sample(5, 10**6, rng), numbers(20)).bodies()[0]] += 1
    assert all(abs(first[one] - 200) < 5 * 14 for one in numbers(20))


def test_the_same_seed_gives_the_same_sample() -> None:
    one, other = (fed(Sample(5, 100, random.Random(9)), numbers(50)) for _ in range(2))
    assert one.bodies() == other.bodies()


def test_a_request_larger_than_the_whole_bound_is_not_kept() -> None:
    sample = Sample(5, 10, random.Random(1))
    drawn = sample.draw()
    assert drawn is not None
    assert not sample.add(drawn, b"x" * 11)
    assert sample.bodies() == []
