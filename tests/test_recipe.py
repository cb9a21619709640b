"""The recipe and the price in Ke$has."""

from __future__ import annotations

import json
import lzma
from dataclasses import replace

import numpy as np
import pytest

from stale_diffusion import recipe
from stale_diffusion.errors import StaleError
from stale_diffusion.recipe import Recipe

FULL = Recipe(
    'it\'s raining in Ke$ha\'s garden "雨"', seed=2**63, steps=16, guidance=1.5, seconds=20, width=640, height=360,
    fps="30000/1001", model="ab" * 32, program="0.1.0", picture="performed", senses={"sight": "generated"}, segments=5,
    xz_bits=1000, cost_dollars=0.001, keshas=5e5, created="2026-01-01T00:00:00+00:00", source=None, scene="AAAA",
)  # fmt: skip


def test_round_trip() -> None:
    assert recipe.from_json(FULL.to_json()) == FULL
    assert recipe.from_json(Recipe("").to_json()) == Recipe("")


def test_fields_of_a_later_version_are_left_out() -> None:
    record = json.loads(FULL.to_json()) | {"hologram": True}
    assert recipe.from_json(json.dumps(record)) == FULL


@pytest.mark.parametrize(
    "change",
    [
        {"plot": 3},
        {"seed": "7"},
        {"seed": True},
        {"format": "x"},
        {"senses": {"sight": "stolen"}},
        {"senses": []},
        {"fps": 24},
    ],
)
def test_wrong_types_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(StaleError):
        recipe.from_json(json.dumps(json.loads(FULL.to_json()) | change))


def test_xz_bits_count_information() -> None:
    rng = np.random.default_rng(0)
    noise = np.where(rng.random((4, 100, 64)) > 0.5, 1, -1).astype(np.int8)
    flat = np.ones_like(noise)
    assert recipe.xz_bits([noise]) > noise.size  # coin flips do not compress
    assert recipe.xz_bits([flat]) < noise.size / 10
    packed = lzma.compress(np.packbits(noise > 0).tobytes(), preset=9 | lzma.PRESET_EXTREME)
    assert recipe.xz_bits([noise[:2], noise[2:]]) == 8 * len(packed)


def test_one_bit_for_50_cents_is_one_kesha() -> None:
    assert recipe.keshas(1, 0.50) == 1
    assert recipe.keshas(100, 0.25) == 200
    with pytest.raises(StaleError):
        recipe.keshas(100, 0.0)


def test_a_recipe_is_not_changed_by_reading() -> None:
    assert replace(FULL) == FULL
