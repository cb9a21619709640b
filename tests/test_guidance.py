"""Eq. 1: the band over time and place, its energy, and what a budget buys."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stale_diffusion.errors import StaleError
from stale_diffusion.guidance import NARROW, PLACED, WIDE, check_keshas, dog, energy, plan, sharpened


def test_the_band_is_nothing_where_neighbours_agree() -> None:
    flat = torch.randn(2, 1, 5).expand(2, 24, 5)
    assert torch.allclose(dog(flat, (4, 2, 3)), torch.zeros(2, 24, 5, dtype=torch.float64), atol=1e-12)


def test_the_band_of_a_wave_is_the_difference_of_two_gaussians_transforms() -> None:
    n, k = 64, 9
    wave = torch.cos(2 * torch.pi * k * torch.arange(n) / n)[None, :, None]
    expected = math.exp(-0.5 * (2 * math.pi * k / n * NARROW) ** 2) - math.exp(-0.5 * (2 * math.pi * k / n * WIDE) ** 2)
    inner = slice(8, -8)  # away from the edges, which are repeated
    assert torch.allclose(dog(wave, (n, 1, 1))[:, inner], expected * wave[:, inner].double(), atol=0.01)


def test_only_streams_with_neighbours_are_sharpened() -> None:
    odds = {"scene": torch.randn(1, 25, 32), "touch.vibration": torch.randn(1, 8, 16)}
    out = sharpened(odds, 2.0)
    assert torch.equal(out["scene"], odds["scene"])
    assert torch.allclose(out["touch.vibration"], odds["touch.vibration"] + 2 * dog(odds["touch.vibration"], (8, 1, 1)))
    assert set(PLACED) == {"sight.coarse", "sight.fine", "hearing", "touch.vibration"}
    some = {"sight.fine": torch.randn(1, 60, 8)}  # a moment of it: its grid is not whole
    assert torch.equal(sharpened(some, 1.0)["sight.fine"], some["sight.fine"])


def test_a_sharper_picture_has_more_energy() -> None:
    x = np.arange(64)
    edge, ramp = np.where(x < 32, 40, 200), np.clip(40 + 160 * (x - 20) / 24, 40, 200)
    sharp, soft, flat = (
        np.tile(row[None, None, :, None], (2, 32, 1, 3)).astype(np.uint8) for row in (edge, ramp, 0 * x)
    )
    assert energy(sharp) > 2 * energy(soft) > 0
    assert energy(flat) == pytest.approx(0, abs=1e-6)


@given(st.floats(1e-7, 10), st.floats(0.01, 5), st.floats(1e-4, 1), st.integers(1, 900), st.integers(1, 64),
       st.integers(1, 8))  # fmt: skip
def test_what_is_planned_stays_under_the_budget(
    dollars: float, price: float, seconds: float, segments: int, steps: int, candidates: int
) -> None:
    try:
        found = plan(dollars, price, seconds, segments, steps, candidates)
    except StaleError:
        assert seconds * segments * price / 3600 > 0.8 * dollars * (1 - 1e-9)
        return
    assert 1 <= found.steps <= steps and 1 <= found.candidates <= candidates
    assert found.candidates * found.steps * segments * seconds * price / 3600 <= 0.8 * dollars * (1 + 1e-9)
    if found.candidates > 1:  # candidates give way before steps do
        assert found.steps == steps


def test_a_budget_that_buys_nothing_says_what_would() -> None:
    with pytest.raises(StaleError, match="does not buy") as found:
        plan(1e-9, 1.0, 0.1, 10, 16, 1)
    assert "--budget" in str(found.value.mend)


def test_too_few_keshas_are_refused() -> None:
    check_keshas(1.0, 1.0)
    with pytest.raises(StaleError, match="Ke\\$has"):
        check_keshas(0.5, 1.0)
