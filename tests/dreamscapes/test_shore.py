"""The shore: the same bits give the same light and sound, seamless; waves are felt when they break."""

import numpy as np
from scenes import bare

from stale_diffusion.dreamscapes.shore import HELD_OUT_WORDINGS, Shore
from stale_diffusion.scene import Event, Stage

SHORE = Shore()


def calm(swell: float, wind: float, events: tuple[Event, ...] = (), hour: float = 0.5) -> Stage:
    return bare(SHORE, {"swell": swell, "wind": wind}, events, hour=hour, cloud=0.2)


def test_a_wave_is_heard_and_felt_when_it_breaks() -> None:
    stage = calm(0.4, 0.0, (Event("wave", 2.0, 0.9, 0.0, 0.2),))
    seat = SHORE.touch(stage, np.array([1.9, 2.5]))[:, 0]
    sound = SHORE.sound(stage, 0, 24000 * 4, 24000)
    assert seat[1] > seat[0] + 0.3
    assert sound[24000 * 5 // 2 : 24000 * 3].std() > 3 * sound[24000 : 24000 * 2].std()


def test_spray_is_salty() -> None:
    still, stormy = calm(0.1, 0.1), calm(0.9, 0.9, (Event("wave", 1.0, 0.9, 0.0, 0.2),))
    t = np.array([2.5])
    assert SHORE.taste(stormy, t)[0, 2] > SHORE.taste(still, t)[0, 2] + 0.2
    assert SHORE.taste(still, t)[0, [0, 1, 3, 4]].tolist() == [0, 0, 0, 0]


def test_captions_follow_the_scene_and_vary() -> None:
    rng = np.random.default_rng(0)
    wild = " ".join(SHORE.caption(calm(0.95, 0.95, hour=0.0).segments, rng) for _ in range(200)).lower()
    mild = " ".join(SHORE.caption(calm(0.05, 0.05).segments, rng) for _ in range(200)).lower()
    assert "raging" in wild
    assert "raging" not in mild
    assert "night" in wild
    assert "night" not in mild
    assert "flat calm" in mild
    assert "flat calm" not in wild
    scenes = [SHORE.draw(rng, 1) for _ in range(60)]
    captions = {SHORE.caption(scene, rng) for scene in scenes for _ in range(10)}
    assert len(captions) > 300
    assert not captions & {text for text, _ in HELD_OUT_WORDINGS}
