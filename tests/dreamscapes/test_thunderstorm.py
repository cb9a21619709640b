"""The thunderstorm: the flash is seen, then heard and felt, metres / 343 seconds later."""

import numpy as np
import pytest
from scenes import bare

from stale_diffusion.dreamscapes.place import View
from stale_diffusion.dreamscapes.thunderstorm import HELD_OUT_WORDINGS, SOUND_SPEED, Thunderstorm, metres
from stale_diffusion.scene import Event, Stage
from stale_diffusion.senses.smell import NOTES

STORM = Thunderstorm()


def still(near: float, rain: float, events: tuple[Event, ...] = (), hour: float = 0.0) -> Stage:
    return bare(STORM, {"near": near, "rain": rain}, events, hour=hour, cloud=0.8)


@pytest.mark.parametrize("distance", [0.1, 0.5, 1.0])
def test_thunder_is_heard_and_felt_together_after_the_flash(distance: float) -> None:
    stage = still(0.5, 0.0, (Event("lightning", 1.0, 0.8, 0.2, distance),))
    arrival = 1.0 + float(metres(np.array(distance))) / SOUND_SPEED
    t = np.arange(0, 12, 1 / 64)
    assert not STORM.taste(stage, t).any()
    seat = STORM.touch(stage, t)[:, 0]
    level = np.abs(STORM.sound(stage, 0, 12 * 12000, 12000)).max(1).reshape(-1, 1200).max(1)
    felt = t[np.argmax(seat > seat[0] + 0.03)]
    heard = np.argmax(level > 3 * np.median(level[: int(10 * arrival) - 1])) / 10
    assert felt == pytest.approx(arrival, abs=0.15)
    assert heard == pytest.approx(arrival, abs=0.25)


def test_lightning_is_seen_at_once() -> None:
    stage = still(0.5, 0.0, (Event("lightning", 2.0, 0.8, 0.0, 0.4),))
    before, during, after = (STORM.picture(stage, t, View.whole(96, 54)).mean() for t in (1.95, 2.01, 3.9))
    assert float(during) > 1.5 * float(before)
    assert float(after) == pytest.approx(float(before), rel=0.3)


def test_rain_wets_the_earth_and_close_lightning_leaves_ozone() -> None:
    dry, wet = still(0.5, 0.0), still(0.5, 0.5, (Event("lightning", 1.0, 0.9, 0.0, 0.0),))
    t = np.array([4.0])
    for note, more in (("wet earth", 0.3), ("ozone", 0.1), ("rain on stone", 0.1)):
        k = NOTES.index(note)
        assert STORM.smell(wet, t)[0, k] > STORM.smell(dry, t)[0, k] + more


def test_captions_follow_the_scene_and_vary() -> None:
    rng = np.random.default_rng(0)
    wild = " ".join(STORM.caption(still(0.95, 0.95).segments, rng) for _ in range(200)).lower()
    mild = " ".join(STORM.caption(still(0.03, 0.0, hour=0.5).segments, rng) for _ in range(200)).lower()
    assert "overhead" in wild
    assert "overhead" not in mild
    assert "torrent" in wild
    assert "torrent" not in mild
    assert "night" in wild
    assert "night" not in mild
    assert "no rain yet" in mild
    assert "no rain yet" not in wild
    scenes = [STORM.draw(rng, 1) for _ in range(60)]
    captions = {STORM.caption(scene, rng) for scene in scenes for _ in range(10)}
    assert len(captions) > 300
    assert not captions & {text for text, _ in HELD_OUT_WORDINGS}
