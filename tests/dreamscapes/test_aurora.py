"""Aurora: curtains where they stand, senses that agree, words that follow the scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scenes import drawn, steady, two_sizes

from stale_diffusion.dreamscapes.aurora import HELD_OUT_WORDINGS, Aurora, metres
from stale_diffusion.dreamscapes.aurora_land import ground
from stale_diffusion.dreamscapes.aurora_sky import Storm, curtains
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Event, Segment, Stage
from stale_diffusion.senses.smell import NOTES

PLACE = Aurora()
RATE = 24000
LAKE, SNOW, ICE = 5000, 40000, 60000


def scene(glow: float = 0.6, events: tuple[Event, ...] = (), variant: int = ICE, **levels: float) -> list[Segment]:
    """Two segments of steady light in a clear night; the events are in the first."""
    levels = {"light": glow, "flow": 0.4, "wind": 0.05} | levels
    return steady(PLACE, levels, events, variant, hour=0.0, cloud=0.0, haze=0.0)


def test_nights_dusks_and_dawns_over_three_grounds_occur() -> None:
    segments = [PLACE.draw(np.random.default_rng(i), 1)[0] for i in range(150)]
    assert {ground(s.variant) for s in segments} == {"lake", "snow", "ice"}
    hours = np.array([s.statics["hour"] for s in segments])
    assert ((hours < 0.25) | (hours > 0.75)).all()
    means = [s.curves["light"][0] / 4 for s in segments]
    assert min(means) < 0.15
    assert max(means) > 0.85


def test_captions_say_how_bright_it_is_over_what_and_never_a_held_out_wording() -> None:
    rng = np.random.default_rng(0)
    weak, strong = ({PLACE.caption(scene(x), rng) for _ in range(300)} for x in (0.08, 0.95))
    lake = {PLACE.caption(scene(0.5, variant=LAKE), rng) for _ in range(100)}
    assert len(weak | strong) > 300
    assert not weak & strong
    assert not any("bright" in text.lower() or "brilliant" in text.lower() for text in weak)
    assert any("frozen lake" in text.lower() for text in weak | strong)
    assert not any("frozen" in text.lower() for text in lake)
    assert not any(word in text.lower() for text in weak | strong for word in ("dawn", "dusk", "cloud", "meteor"))
    assert not {text for text, _ in HELD_OUT_WORDINGS} & (weak | strong | lake)


def test_the_lower_border_is_violet_or_red_the_body_green_the_top_red() -> None:
    y = torch.linspace(1.4, 0.05, 200)[:, None]
    image = curtains(Storm(0.95, 0.5, 7.0, 7.0, 3), -1.0, 0.01, 200, y).mean(2)  # (3, H)
    brightest = int(image.sum(0).argmax())
    assert float(image[1, brightest]) > 1.3 * float(image[0, brightest])
    share = image / image.sum(0)
    lit = image.sum(0) > 0.02 * float(image.sum(0).max())
    above = lit & (y[:, 0] > 2.0 * y[brightest, 0])
    assert float(share[0][above].max()) > float(share[0, brightest]) + 0.05
    assert float(image[:, -1].sum()) < 0.01 * float(image.sum(0).max())  # dark under it


def test_bright_aurora_lights_the_land() -> None:
    view = View.whole(96, 54)
    dim, bright = (PLACE.picture(Stage(scene(x, variant=SNOW)), 1.0, view)[-8:].mean((0, 1)) for x in (0.05, 0.95))
    assert float(bright[1]) > 2 * float(dim[1])
    assert float(bright[1]) > 1.2 * float(bright[0])


def test_the_lake_mirrors_the_sky() -> None:
    dark, lit = (PLACE.picture(Stage(scene(x, variant=LAKE, swell=0.05)), 1.0, View.whole(96, 54)) for x in (0.0, 0.9))
    added = (lit - dark)[..., 1]
    below = added[-10:]
    assert float(below.max()) > 0.1 * float(added.max())


def test_a_meteor_is_seen_for_a_moment() -> None:
    with_, without = (Stage(scene(0.1, events)) for events in ((Event("spark", 1.0, 0.9, 0.0, 0.3),), ()))
    view = View.whole(160, 90)
    seen = [float((PLACE.picture(with_, t, view) - PLACE.picture(without, t, view)).abs().max()) for t in
            (0.95, 1.25, 3.0)]  # fmt: skip
    assert seen[0] == 0
    assert seen[1] > 0.05
    assert seen[2] < 1e-4


def test_a_crack_of_the_ice_is_felt_when_it_is_heard() -> None:
    crack = Event("crack", 2.0, 0.9, distance=0.0)
    with_, without = Stage(scene(0.3, (crack,))), Stage(scene(0.3))
    heard = np.abs(PLACE.sound(with_, 0, 4 * RATE, RATE) - PLACE.sound(without, 0, 4 * RATE, RATE)).max(1)
    assert heard[: 2 * RATE - 24].max() < 1e-4
    assert heard[2 * RATE : 2 * RATE + 4800].max() > 0.02
    t = np.arange(0, 4, 1 / 64)
    felt = (PLACE.touch(with_, t) - PLACE.touch(without, t))[:, 0]
    assert felt[t < 2].max() == pytest.approx(0, abs=1e-9)
    assert 2.0 <= t[felt.argmax()] < 2.1
    assert metres(0) == 20
    assert metres(1) == 600


def test_smells_and_cold_follow_the_ground() -> None:
    t = np.array([1.0])
    lake, snow, ice = (Stage(scene(0.5, variant=v, steam=0.5)) for v in (LAKE, SNOW, ICE))
    pine, moss, smoke = (NOTES.index(n) for n in ("pine", "moss", "wood smoke"))
    assert PLACE.smell(snow, t)[0, pine] > 2 * PLACE.smell(ice, t)[0, pine]
    assert PLACE.smell(lake, t)[0, moss] > 0.2
    assert PLACE.smell(snow, t)[0, smoke] > 0.2
    assert PLACE.smell(ice, t)[0, smoke] == 0
    assert PLACE.touch(ice, t)[0, 3] < PLACE.touch(lake, t)[0, 3] - 3
    assert not PLACE.taste(ice, t).any()


def test_the_picture_is_the_same_at_any_size_and_in_bands() -> None:
    for seed in (1, 2, 10):
        stage = drawn(PLACE, seed, 2)
        small, less = two_sizes(PLACE, stage, 3.0)
        assert float((less - small).abs().mean()) < 0.12 * float(small.mean()) + 0.005
        part = PLACE.picture(stage, 3.0, View(160, 96, 40, 30, torch.device("cpu")))
        assert float((part - small[40:70]).abs().mean()) < 0.03 * float(small.mean())
