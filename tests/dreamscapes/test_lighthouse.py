"""Lighthouse: fog, beam and foghorn; senses that agree and words that follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import steady, two_sizes

from stale_diffusion.dreamscapes.light import part_of_day
from stale_diffusion.dreamscapes.lighthouse import HELD_OUT_WORDINGS, Lighthouse
from stale_diffusion.dreamscapes.lighthouse_picture import is_lit
from stale_diffusion.dreamscapes.lighthouse_plate import coast
from stale_diffusion.dreamscapes.lighthouse_sound import SPEED, blast_seconds, horn_hertz, tower_metres
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES
from stale_diffusion.senses.taste import TASTES

PLACE = Lighthouse()
RATE = 12_000


def scene(fog: float = 0.5, events: tuple[Event, ...] = (), variant: int = 7, **more: float) -> list[Segment]:
    """Two segments of steady fog in calm air; the events are in the first."""
    levels = {"steam": fog, "wind": more.pop("wind", 0.1), "swell": more.pop("swell", 0.1), "light": 0.8, "life": 0.0}
    statics = {"hour": 0.5, "cloud": 0.3, "haze": 0.5, "warmth": 0.5, "focal": 0.5, "pan": 0.5, **more}
    return steady(PLACE, levels, events, variant, **statics)


def test_all_hours_and_fogs_occur_and_the_horn_blows_in_fog_only() -> None:
    drawn = [PLACE.draw(np.random.default_rng(i), 3) for i in range(120)]
    assert {part_of_day(s[0].statics["hour"]) for s in drawn} >= {"night", "dawn", "noon", "dusk"}
    fog = [s[0].curves["steam"][0] / 4 for s in drawn]
    assert min(fog) < 0.12
    assert max(fog) > 0.85
    assert all(s.curves["steam"][0] / 4 > 0.2 for d in drawn for s in d if any(e.kind == "whistle" for e in s.events))
    thick = [d for d in drawn if min(s.curves["steam"][0] / 4 for s in d) > 0.5]
    assert sum(any(e.kind == "whistle" for s in d for e in s.events) for d in thick) > 0.6 * len(thick)


def test_captions_follow_the_scene_and_never_a_held_out_wording() -> None:
    rng = np.random.default_rng(0)
    clear, thick = ({PLACE.caption(scene(f), rng) for _ in range(300)} for f in (0.05, 0.95))
    assert not clear & thick
    assert len(clear | thick) > 300
    assert not {text for text, _ in HELD_OUT_WORDINGS} & (clear | thick)
    assert not any(word in text.lower() for text in clear | thick for word in ("night", "dusk", "horn"))
    blown = " ".join(PLACE.caption(scene(0.8, (Event("whistle", 1.0),)), rng) for _ in range(60)).lower()
    assert "foghorn" in blown


def test_the_foghorn_is_heard_and_felt_together_at_its_pitch() -> None:
    event = Event("whistle", 0.5, 0.8)
    stage, quiet = Stage(scene(0.7, (event,))), Stage(scene(0.7))
    t = np.arange(512) / 64
    arrives = 0.5 + tower_metres(7) / SPEED
    felt = (PLACE.touch(stage, t) - PLACE.touch(quiet, t))[:, 0]
    assert t[felt > 0.2].min() == pytest.approx(arrives + 0.12, abs=0.1)
    assert t[felt > 0.2].max() == pytest.approx(arrives + blast_seconds(event) - 0.1, abs=0.15)
    heard = PLACE.sound(stage, 0, 4 * RATE, RATE) - PLACE.sound(quiet, 0, 4 * RATE, RATE)
    loud = np.abs(heard).max(1)
    assert loud[: int((arrives - 0.02) * RATE)].max() < 1e-4
    assert loud[int((arrives + 0.5) * RATE) :].max() > 0.03
    steady_part = heard[int((arrives + 0.6) * RATE) :][:RATE, 0]
    power = np.abs(np.fft.rfft(steady_part * np.hanning(len(steady_part))))
    assert power[int(horn_hertz(7)) - 4 : int(horn_hertz(7)) + 5].max() > 10 * np.median(power[40:600])


def test_waves_are_heard_and_felt_and_leave_salt() -> None:
    wave = (Event("wave", 1.0, 0.9, 0.0, 0.2),)
    stage, quiet = Stage(scene(0.3, wave, wind=0.5)), Stage(scene(0.3, wind=0.5))
    t = np.array([0.9, 1.6, 3.0])
    assert (PLACE.touch(stage, t) - PLACE.touch(quiet, t))[:, 0] == pytest.approx([0, 0.3, 0.15], abs=0.17)
    assert PLACE.sound(stage, RATE, RATE, RATE).std() > 2 * PLACE.sound(quiet, RATE, RATE, RATE).std()
    salty = TASTES.index("salty")
    assert PLACE.taste(stage, t)[2, salty] > PLACE.taste(quiet, t)[2, salty] + 0.1
    assert np.delete(PLACE.taste(stage, t), salty, 1).max() == 0
    salt = NOTES.index("sea salt")
    assert PLACE.smell(stage, t)[1, salt] > PLACE.smell(quiet, t)[1, salt]


def test_fog_is_damp_and_cold() -> None:
    clear, thick = (PLACE.touch(Stage(scene(f)), np.array([1.0]))[0, 3] for f in (0.0, 1.0))
    assert thick < clear - 2


@pytest.mark.parametrize("kind", ["bell", "bird"])
def test_buoy_and_gulls_are_heard(kind: str) -> None:
    event = (Event(kind, 0.2, 0.9, 0.2, 0.1),)
    there, alone = (PLACE.sound(Stage(scene(0.3, e)), 0, 3 * RATE, RATE) for e in (event, ()))
    assert np.abs(there - alone).max() > 0.004


def test_the_lamp_burns_by_night_and_in_fog() -> None:
    assert is_lit(0.0, 0.0) == 1
    assert is_lit(0.5, 0.1) == 0
    assert is_lit(0.5, 0.9) == 1


def test_the_beam_turns_slower_than_twice_a_second_and_is_seen() -> None:
    for variant in range(0, 65536, 997):
        c = coast(variant)
        assert c.turn / c.beams >= 4
    stage, view = Stage(scene(0.6, hour=0.0)), View.whole(96, 54)
    means = [float(PLACE.picture(stage, t, view).mean()) for t in np.linspace(0, 7.5, 12)]
    assert max(means) > 1.05 * min(means)


def test_thick_fog_hides_the_tower() -> None:
    view = View.whole(96, 54)
    clear, thick = (PLACE.picture(Stage(scene(f)), 0.5, view) for f in (0.0, 1.0))
    across = [float(p[10:36].std(1).mean()) for p in (thick, clear)]
    assert across[0] < 0.3 * across[1]


def test_the_picture_is_the_same_at_any_size_and_in_bands() -> None:
    stage, view = Stage(scene(0.4)), View.whole(160, 96)
    small, large = two_sizes(PLACE, stage, 1.3)
    assert float((small - large).abs().mean()) < 0.2 * float(small.mean())
    band = View(160, 96, 30, 40, view.device)
    assert torch.allclose(PLACE.picture(stage, 0.5, band), PLACE.picture(stage, 0.5, view)[30:70], atol=1e-3)
