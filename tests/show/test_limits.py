"""Time at level: counted through seeks, pauses and flicker."""

from __future__ import annotations

import random

import pytest

from stale_diffusion.show.limits import Limiter
from stale_diffusion.show.patch import Effect


def limiter(seconds: float = 10, rest: float = 5, above: float = 0) -> Limiter:
    return Limiter(Effect("x", "touch", "wind", None, 1, (0, 1), "linear", 0, 1, seconds, above, rest))


def test_it_stops_in_time_and_starts_again_after_the_rest() -> None:
    limit = limiter()
    assert limit(200, 100) == 200
    assert limit.due() == 110
    assert limit(200, 109.9) == 200
    assert limit(200, 110) == 0
    assert limit.due() == 115
    assert limit(200, 114.9) == 0
    assert limit(200, 115) == 200
    assert limit.due() == 125


def test_what_may_go_on_goes_on() -> None:
    limit = limiter(above=0.4)
    assert limit(255, 0) == 255
    assert limit(255, 10) == 102  # held at the level that may stay
    assert limit(50, 11) == 50
    low = limiter(above=0.4)
    assert [low(102, t) for t in (0, 100, 1000)] == [102] * 3
    assert low.due() == float("inf")


def test_going_off_for_a_moment_buys_no_new_stretch() -> None:
    limit = limiter()
    on = last = 0.0
    t, longest = 0.0, 0.0
    for _ in range(400):  # 0.9 s on, 0.1 s off, as if somebody scrubbed
        for wanted, span in ((255, 0.9), (0, 0.1)):
            last = limit(wanted, t)
            on = on + span if last else on
            t += span
            longest = max(longest, on)
    assert on / t < 0.9 * 0.75  # 10 s of 15 at the most, and the moments off
    assert last == 0


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_wished_no_stretch_is_longer_and_no_window_fuller(seed: int) -> None:
    draw = random.Random(seed)
    limit, t, stretches, began = limiter(), 0.0, [], None
    level = 0
    while t < 300:
        wanted, end = draw.choice((0, 80, 255)), t + draw.expovariate(1)
        level = limit(wanted, t)
        while True:
            if level and began is None:
                began = t
            elif not level and began is not None:
                stretches.append((began, t))
                began = None
            if limit.due() >= end:
                break
            t = limit.due()
            level = limit(wanted, t)
        t = end
    assert max(b - a for a, b in stretches) <= 10 + 1e-6
    for start, _ in stretches:  # in any 15 s at most 10 s, and what the rest before had saved up
        assert sum(max(0.0, min(b, start + 15) - max(a, start)) for a, b in stretches) <= 15 * 2 / 3 + 10 / 3 + 1e-6
