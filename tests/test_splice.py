"""What is read and written again is the same to the last bit, save for what was changed in between."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stale_diffusion import timeline
from stale_diffusion.senses.touch import Touch
from stale_diffusion.timeline import Track


def track(seed: int, seconds: int, rate: Fraction = Touch.rate, sense: str = "touch") -> Track:
    """Random walks, with silence, holds and steps."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    walks = np.cumsum(rng.normal(0, 0.05, (n, 5)), 0) % 1 * (rng.random((n, 1)) > 0.2)
    walks[n // 3 : n // 2] = walks[n // 3]
    values = (walks * (1, 1, 280, 60, 20) + (0, 0, 20, -10, 0)).astype(np.float32)
    return Track(sense, rate, Touch.channels, Touch.unit, values, "generated")


def written(made: Track, seconds: float) -> tuple[str, Track]:
    text = timeline.to_json(seconds, {made.sense: made})
    return text, timeline.from_json(text)[1][made.sense]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 9))
def test_what_is_read_is_written_again_as_it_was(seed: int, seconds: int) -> None:
    text, first = written(track(seed, seconds), seconds)
    again, second = written(first, seconds)
    assert again == text
    assert np.array_equal(first.values, second.values)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.data())
def test_only_what_is_changed_changes(seed: int, data: st.DataObject) -> None:
    rate = data.draw(st.sampled_from([Fraction(64), Fraction(30), Fraction(24000, 1001)]))
    sense = "touch" if rate == 64 else "magnetism"
    _, first = written(track(seed, 4, rate, sense), 4)
    values = first.values.copy()
    n = len(values)
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, n - 1))
        end = data.draw(st.integers(begin + 1, n))
        values[begin:end] = track(seed + 1, 4, rate, sense).values[begin:end]
    _, second = written(replace(first, values=values, origin="edited"), 4)
    kept = values == first.values
    assert np.array_equal(second.values[kept], first.values[kept])
    levels = [timeline.RANGES[c][2] for c in Touch.channels]
    assert np.all(np.abs(second.values - values) <= levels)


def test_a_long_line_that_is_cut_stays_short() -> None:
    values = np.linspace(0, 1, 64 * 3600, dtype=np.float32)[:, None].repeat(5, 1)
    _, first = written(Track("touch", Touch.rate, Touch.channels, Touch.unit, values * (1, 1, 100, 1, 1) + (
        0, 0, 20, 0, 0), "generated"), 3600)  # fmt: skip
    changed = first.values.copy()
    changed[100_000:100_064, 0] = 0
    text, second = written(replace(first, values=changed), 3600)
    kept = changed == first.values
    assert np.array_equal(second.values[kept], changed[kept])
    assert len(text) < 4000
