"""Kettle and coffee: pure functions of scene and time, senses that agree, words that follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import steady, two_sizes

from stale_diffusion.dreamscapes.kettle import HELD_OUT_WORDINGS, Kettle, pour_seconds, pouring, singing
from stale_diffusion.dreamscapes.light import quarter_of_day
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES

PLACE = Kettle()


def scene(
    steam: float = 0.5, events: tuple[Event, ...] = (), hour: float = 0.5, variant: int = 7, **more: float
) -> list[Segment]:
    """Two segments with a steady kettle; the events are in the first."""
    levels = {"steam": steam, "flow": 0.5, "light": 0.6, **more}
    return steady(PLACE, levels, events, variant, hour=hour)


def test_all_hours_and_strengths_occur_and_a_whistle_needs_steam() -> None:
    drawn = [PLACE.draw(np.random.default_rng(i), 1)[0] for i in range(150)]
    assert {quarter_of_day(s.statics["hour"]) for s in drawn} == {"night", "dawn", "day", "dusk"}
    means = [s.curves["steam"][0] / 4 for s in drawn]
    assert min(means) < 0.1
    assert max(means) > 0.85
    sung = [m for s, m in zip(drawn, means, strict=True) if any(e.kind == "whistle" for e in s.events)]
    assert sung
    assert min(sung) > 0.4


def test_a_pour_fills_the_cup() -> None:
    for seed in range(30):
        stage = Stage(PLACE.draw(np.random.default_rng(seed), 5))
        for e in stage.events("pour", 1, 15):
            if not [c for c in stage.events("clink", e.time - 2, e.time + 4) if c.strength > 0.5]:
                assert stage.value("flow", e.time + 3.5) > stage.value("flow", e.time - 0.5) - 0.02


def test_captions_say_how_hard_it_boils_and_never_a_held_out_wording() -> None:
    held = {text for text, _ in HELD_OUT_WORDINGS}
    rng = np.random.default_rng(0)
    cold, hot = ({PLACE.caption(scene(s), rng) for _ in range(300)} for s in (0.03, 0.95))
    assert not any("boil" in text.lower() or "steam rises" in text.lower() for text in cold)
    assert any("boil" in text for text in hot)
    assert not any(word in text.lower() for text in cold | hot for word in ("night", "dawn", "dusk", "whistle", "milk"))
    assert len(cold | hot) > 300
    assert not held & (cold | hot)
    sung = {PLACE.caption(scene(0.9, (Event("whistle", 1.0, 0.8),)), rng) for _ in range(100)}
    assert any("whistle" in text for text in sung)


def test_a_pour_is_felt_heard_and_smelt_while_it_runs() -> None:
    pour = Event("pour", 1.0, 0.5, 0.2)
    stage, quiet = Stage(scene(0.2, (pour,))), Stage(scene(0.2))
    t = np.arange(512) / 64
    felt = (PLACE.touch(stage, t) - PLACE.touch(quiet, t))[:, 1]
    runs = pouring(stage, t) > 0.5
    assert t[runs].min() == pytest.approx(1.08, abs=0.05)
    assert t[runs].max() == pytest.approx(1 + pour_seconds(pour) - 0.15, abs=0.05)
    assert felt[runs].min() > 0.1
    assert felt[t < 1].max() == 0
    heard = np.abs(PLACE.sound(stage, 0, 96000, 24000) - PLACE.sound(quiet, 0, 96000, 24000)).max(1)
    assert heard[:23900].max() < 1e-5
    assert heard[25000:60000].max() > 0.01
    coffee = (PLACE.smell(stage, t) - PLACE.smell(quiet, t))[:, NOTES.index("coffee")]
    assert coffee[runs].min() > 0.1


def test_a_sip_is_tasted_and_milk_makes_it_sweeter() -> None:
    sip, t = (Event("clink", 1.0, 0.9),), np.arange(0, 4, 0.5)
    black, milky = (PLACE.taste(Stage(scene(0.2, sip, variant=v)), t) for v in (7, 65000))
    bitter, sweet = TASTES.index("bitter"), TASTES.index("sweet")
    assert black[:2, bitter].max() == 0
    assert black[3, bitter] > 0.5
    assert milky[3, sweet] > 2 * black[3, sweet]
    assert PLACE.taste(Stage(scene(0.2, (Event("clink", 1.0, 0.2),))), t).max() == 0


def test_the_whistle_is_a_tone() -> None:
    stage = Stage(scene(0.9, (Event("whistle", 0.5, 0.8),)))
    x = PLACE.sound(stage, 36000, 24000, 24000).mean(1)
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    peak = power[1400:2700].argmax() + 1400
    assert power[peak - 15 : peak + 16].sum() > 0.4 * power[200:].sum()
    assert float(singing(stage, np.array([0.4]))[0]) == 0


def test_sound_in_two_halves_is_the_sound_in_one() -> None:
    events = (Event("whistle", 0.2, 0.8), Event("clink", 1.5, 0.9), Event("pour", 1.0, 0.5))
    stage = Stage(scene(0.8, events, rain=0.4, life=0.5))
    whole = PLACE.sound(stage, 12000, 60000, 24000)
    halves = np.concatenate([PLACE.sound(stage, 12000, 23456, 24000), PLACE.sound(stage, 35456, 36544, 24000)])
    assert whole.shape == (60000, 2)
    assert np.abs(whole - halves).max() < 1e-3
    assert np.abs(whole).max() < 0.9


def test_the_picture_is_the_same_at_any_size() -> None:
    stage = Stage(scene(0.8, (Event("pour", 0.5, 0.8),), fire=0.6))
    small, large = two_sizes(PLACE, stage, 1.3)
    assert float((small - large).abs().mean()) < 0.06 * float(small.mean())


def test_a_band_of_the_picture_is_that_band() -> None:
    stage, view = Stage(scene(0.8, (Event("pour", 0.1, 0.8),), fire=0.6)), View.whole(160, 96)
    band = View(160, 96, 40, 30, view.device)
    assert torch.allclose(PLACE.picture(stage, 0.7, band), PLACE.picture(stage, 0.7, view)[40:70], atol=1e-4)


def test_steam_pour_and_flames_are_seen() -> None:
    view = View.whole(160, 96)
    plain = PLACE.picture(Stage(scene(0.0)), 1.0, view)
    for other in (scene(0.9), scene(0.0, (Event("pour", 0.2, 0.8),)), scene(0.0, fire=0.9)):
        assert float((PLACE.picture(Stage(other), 1.0, view) - plain).abs().max()) > 0.05
