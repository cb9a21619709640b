"""Touch, smell and taste as bits: values come back within one level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stale_diffusion import scene
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.perform import BUILT, lanes
from stale_diffusion.joins import join
from stale_diffusion.scene import Stage
from stale_diffusion.senses import smell, taste, touch
from stale_diffusion.senses.curves import BlockCode


@given(st.integers(0, 2**32 - 1))
def test_a_full_code_comes_back_within_a_level(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = np.clip(np.cumsum(rng.normal(0, 0.05, (3, 8)), 1) + rng.random((3, 1)), 0, 1)
    back = smell.CODE.decode(smell.CODE.encode(blocks))
    assert np.abs(back - blocks).max() <= smell.LEVEL


def test_rest_is_rest() -> None:
    code = BlockCode(8, (7, 6, 6), 1 / 31)
    assert np.all(code.decode(code.encode(np.zeros((2, 8)))) == 0)


@pytest.mark.parametrize("name", BUILT)
def test_the_senses_of_every_place_come_back_within_a_level(name: str) -> None:
    rng = np.random.default_rng([5, BUILT.index(name)])
    segments, _ = draw(rng, 3, name)
    values = lanes(Stage(scene.decode(scene.encode(segments))))
    felt = touch.Touch()
    error = np.abs(touch.to_unit(felt.decode(felt.encode(values["touch"]))) - touch.to_unit(values["touch"]))
    assert np.quantile(error, 0.999) <= touch.LEVEL
    assert np.sqrt((error**2).mean(0)).max() <= touch.LEVEL / 2
    for sense in (smell.Smell(), taste.Taste()):
        v = values[sense.name]
        assert np.abs(sense.decode(sense.encode(v)) - v).max() <= smell.LEVEL


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_physical_touch_and_its_unit_form_are_inverse(unit: list[float]) -> None:
    u = np.array([unit])
    assert np.allclose(touch.to_unit(touch.from_unit(u)), u, atol=2e-3)


def test_generated_air_and_smell_have_no_step_where_segments_meet() -> None:
    values = np.zeros((512, 5))
    values[:, 2], values[:256, 3], values[256:, 3] = 60, 10, 20
    assert np.abs(np.diff(join("touch", values)[:, 3])).max() < 0.9  # a quarter of a level, and the fade
    notes = np.repeat([[0.2] * 24, [0.8] * 24], 8, 0)
    assert np.abs(np.diff(join("smell", notes), axis=0)).max() < 0.4


def test_half_seconds_of_vibration_agree_where_they_meet() -> None:
    sense = touch.Touch()
    quiet, loud = (sense.encode(np.tile([a, a, 60.0, 20.0, 0.0], (256, 1))) for a in (0.04, 0.36))
    mixed = {n: b.copy() for n, b in quiet.items()}
    mixed["touch.vibration"][:, 1::2] = loud["touch.vibration"][:, 1::2]
    felt = np.sqrt(sense.decode(mixed)[:, 0])
    assert np.abs(np.diff(felt)).max() < 0.25  # of a step of 0.4 between neighbours


def test_a_shaker_is_driven_at_the_felt_frequency_without_a_click() -> None:
    values = np.tile([0.5, 0.25, 100.0, 20.0, 0.0], (128, 1))
    whole, _ = touch.drive(values, 8000)
    first, phase = touch.drive(values[:64], 8000)
    second, _ = touch.drive(values[64:], 8000, phase)
    assert np.allclose(np.concatenate([first, second]), whole, atol=1e-3)
    spectrum = np.abs(np.fft.rfft(whole[:, 0]))
    assert np.argmax(spectrum) * 8000 / len(whole) == pytest.approx(100, abs=1)
    assert np.abs(whole[:, 0]).max() == pytest.approx(0.5, abs=0.01)
