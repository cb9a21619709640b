"""Touch from sound: thunder and engines shake the seat, voices and birds do not; all on the clock of the sound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stale_diffusion.clips import derive
from stale_diffusion.clips import felt as follower

RATE, SECONDS = 24000, 4
TIME = np.arange(RATE * SECONDS) / RATE
SEAT, BACK, HERTZ = 0, 1, 2


def noise(low: float, high: float, rms: float = 0.15) -> NDArray[np.float64]:
    """Noise of a band."""
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=len(TIME)))
    hertz = np.fft.rfftfreq(len(TIME), 1 / RATE)
    sound = np.fft.irfft(np.where((hertz >= low) & (hertz <= high), spectrum, 0))
    return sound * rms / sound.std()


def voice(pitch: float) -> NDArray[np.float64]:
    """A vowel with formants, a moving pitch and four syllables a second."""
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.08 * np.sin(2 * np.pi * 0.7 * TIME))) / RATE
    formants = [1 + 2 * np.exp(-(((k * pitch - 600) / 250) ** 2)) for k in range(1, 30)]
    sound = sum(gain * np.sin(k * phase) / k for k, gain in enumerate(formants, 1))
    syllables = np.clip(0.9 * np.sin(2 * np.pi * 4.2 * TIME) + 0.25, 0, 1)
    return 0.25 * sound / np.abs(sound).max() * syllables


def engine() -> NDArray[np.float64]:
    return 0.15 * sum(np.sin(2 * np.pi * 32 * k * TIME + k) / k for k in range(1, 12))


def felt(sound: NDArray[np.float64]) -> NDArray[np.float32]:
    return derive.touch_from_sound(sound.astype(np.float32), RATE)


def test_rumble_and_engines_shake_the_seat() -> None:
    for sound in (noise(25, 90), engine()):
        assert felt(sound)[:, SEAT].mean() > 0.25


@pytest.mark.parametrize("pitch", [90.0, 110.0, 210.0])
def test_a_voice_does_not_shake_the_seat(pitch: float) -> None:
    touch = felt(voice(pitch))
    assert touch[:, SEAT].mean() < 0.05
    assert touch[:, BACK].mean() < 0.06


def test_thunder_is_felt_behind_a_voice() -> None:
    touch = felt(voice(110) + noise(25, 90) * (TIME >= 2))
    assert touch[:96, SEAT].mean() < 0.1
    assert touch[160:, SEAT].mean() > 0.25


def test_high_sounds_and_silence_are_not_felt() -> None:
    chirps = 0.1 * np.sin(2 * np.pi * 4000 * TIME) * (np.sin(2 * np.pi * 4 * TIME) > 0)
    assert felt(chirps)[:, :2].max() < 0.1
    silence = felt(np.zeros_like(TIME))
    assert not silence[:, :2].any()
    assert np.allclose(silence[:, HERTZ], derive.REST_HZ)


def test_onsets_are_taps_at_their_time() -> None:
    sound = np.zeros_like(TIME)
    starts = [1.0, 2.0, 3.0]
    for start in starts:
        at = int(start * RATE)
        sound[at : at + 480] = np.random.default_rng(1).normal(0, 0.4, 480)
    back = felt(sound)[:, BACK]
    peaks = [64 * s + int(back[int(64 * (s - 0.5)) : int(64 * (s + 0.5))].argmax()) - 32 for s in starts]
    assert peaks == pytest.approx([64 * s for s in starts], abs=3)
    between = back[int(64 * 1.3) : int(64 * 1.7)]
    assert back.max() > 5 * between.max()


@pytest.mark.parametrize("hertz", [30.0, 60.0, 150.0, 240.0])
def test_frequency_follows_the_sound(hertz: float) -> None:
    touch = felt(0.2 * np.sin(2 * np.pi * hertz * TIME))
    assert np.median(touch[:, HERTZ]) == pytest.approx(hertz, rel=0.15)


def test_a_beep_is_felt_and_a_singing_bird_is_not() -> None:
    beep = derive.touch_from_sound((0.3 * np.sin(2 * np.pi * 3000 * TIME[:4800])).astype(np.float32), RATE)
    assert beep[2:10, BACK].min() > 0.5


def test_steady_rain_rests_and_a_door_behind_it_is_felt() -> None:
    rain = noise(500, 10000, 0.05)
    back = felt(rain + noise(60, 2000, 0.4) * (np.abs(TIME - 2) < 0.1))[:, BACK]
    assert back[122:135].max() > 4 * back[:96].mean()


@pytest.mark.parametrize("fall", [0.015, 0.1])
def test_a_follower_holds_peaks_and_forgets_them_at_its_pace(fall: float) -> None:
    envelope = np.zeros(200_000)  # longer than a piece of `follow`
    envelope[[100, 190_000]] = 1.0
    out = follower.follow(envelope, 0.0, fall)
    later = round(fall * follower.ENVELOPE_RATE)
    assert out[[100, 190_000]] == pytest.approx(1)
    assert out[[100 + later, 190_000 + later]] == pytest.approx(np.exp(-1), rel=0.01)
    assert (out >= envelope).all()
    assert out[150_000] < 1e-6


def test_fitted_weights_are_whole_and_say_where_they_come_from() -> None:
    weights, exponent = follower.fitted()
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    assert 0.5 < exponent < 1.5
    record = json.loads(Path(follower.__file__).with_name("touch_fit.json").read_text())
    assert "MIT" in record["licence"]
    assert len(record["pairs"]) > 40


def test_louder_is_stronger_and_bounded() -> None:
    means = [felt(noise(30, 90, rms))[:, SEAT].mean() for rms in (0.005, 0.02, 0.08, 0.3, 3.0)]
    assert means == sorted(means)
    assert 0 < means[0] < 0.1
    assert means[-1] <= 1


@pytest.mark.parametrize("samples", [0, 1, 374, 375, 376, 24001])
def test_lengths(samples: int) -> None:
    touch = derive.touch_from_sound(np.full(samples, 0.1, np.float32), RATE)
    assert touch.shape == (-(-samples * 64 // RATE), 3)
    assert np.isfinite(touch).all()


def test_a_moving_camera_makes_wind_and_a_moving_thing_does_not() -> None:
    texture = np.random.default_rng(0).integers(0, 255, (24, 60, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    camera = np.stack([texture[:, 3 * k : 3 * k + 160] for k in range(24)])
    thing = np.stack([texture[:, :160]] * 24)
    for k in range(24):
        thing[k, 40:60, 5 * k : 5 * k + 20] = 255
    blowing, still = (derive.touch(None, RATE, 128, f, base_wind=1.0)[:, 4].mean() for f in (camera, thing))
    assert still == pytest.approx(1.0)
    assert blowing > 1.5


def test_touch_is_in_range_and_says_what_the_caption_says() -> None:
    touch = derive.touch(noise(20, 500, 0.5).astype(np.float32), RATE, 256, None, 12.0, -4.0, 19.0)
    assert touch.shape == (256, 5)
    assert (touch.min(0) >= (0, 0, 20, -10, 0)).all()
    assert (touch.max(0) <= (1, 1, 300, 50, 20)).all()
    assert (touch[:, 3] == -4).all()
    gusts = touch[:, 4]
    assert 10 < gusts.mean() <= 20
