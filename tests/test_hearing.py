"""The hearing codec on sounds made here."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.senses import hearing
from stale_diffusion.senses.hearing import RATE, SAMPLES, Hearing

Sound = NDArray[np.float32]


def round_trip(sound: NDArray[np.floating]) -> Sound:
    codec = Hearing()
    return codec.decode(codec.encode(sound.astype(np.float32)))


def noise(level: float, seed: int = 0) -> Sound:
    return (level * np.random.default_rng(seed).standard_normal(SAMPLES)).astype(np.float32)


def levels(sound: Sound) -> NDArray[np.float32]:
    return hearing.decibels(hearing.energies(hearing.spectra(sound)))


def test_spectra_invert() -> None:
    sound = noise(0.2)
    np.testing.assert_allclose(hearing.resynthesise(hearing.spectra(sound)), sound, atol=1e-5)


def test_full_scale_sine_is_zero_decibels() -> None:
    sine = np.sin(2 * np.pi * 1000 * np.arange(SAMPLES) / RATE).astype(np.float32)
    total = hearing.energies(hearing.spectra(sine))[10:-10].sum(1)
    np.testing.assert_allclose(10 * np.log10(total), 0, atol=0.2)


def test_shape_and_values() -> None:
    bits = Hearing().encode(np.concatenate([noise(0.1), noise(0.01, 1)]))["hearing"]
    assert bits.shape == (2, 32, 768)
    assert set(np.unique(bits)) == {-1, 1}


def test_noise_keeps_its_spectrum_and_loudness() -> None:
    spectrum = np.fft.rfft(noise(1.0))
    spectrum *= 1 / (1 + np.fft.rfftfreq(SAMPLES, 1 / RATE) / 500)
    brown = (0.05 * np.fft.irfft(spectrum)).astype(np.float32)
    heard = round_trip(brown)
    difference = levels(heard).mean(0) - levels(brown).mean(0)
    assert np.abs(difference).mean() < 1
    assert abs(10 * np.log10(np.mean(heard**2) / np.mean(brown**2))) < 1


def test_silence_stays_silent() -> None:
    assert not round_trip(np.zeros(SAMPLES)).any()


def test_silence_before_a_sound_stays_silent() -> None:
    sound = noise(0.1)
    sound[: SAMPLES // 2] = 0
    heard = round_trip(sound)
    assert np.abs(heard[: SAMPLES // 2 - 1000]).max() < 1e-3


@pytest.mark.parametrize("at", [48_000, 49_321])
def test_a_crack_stays_sharp(at: int) -> None:
    crack = np.zeros(SAMPLES)
    crack[at : at + 60] = np.random.default_rng(0).uniform(-0.9, 0.9, 60)
    heard = round_trip(crack)
    near = heard[at - 240 : at + 300]
    assert (near**2).sum() > 0.95 * (heard**2).sum()
    assert (near**2).sum() > 0.3 * (crack**2).sum()


@pytest.mark.parametrize("hertz", [220.0, 1000.0, 3100.0])
def test_a_tone_stays_a_tone(hertz: float) -> None:
    sine = 0.2 * np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE)
    heard = round_trip(sine)[RATE : 3 * RATE]
    power = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))) ** 2
    frequency = np.fft.rfftfreq(len(heard), 1 / RATE)
    near = np.abs(frequency - hertz) < 0.03 * hertz
    assert power[near].sum() > 0.8 * power.sum()


def test_it_never_clips() -> None:
    square = np.sign(np.sin(2 * np.pi * 100 * np.arange(SAMPLES) / RATE))
    assert np.abs(round_trip(square)).max() <= 1
    assert np.abs(hearing.limit(np.array([-50.0, 0.5, 50.0], np.float32))).max() <= 1


def test_decoding_is_a_function_of_the_bits() -> None:
    codec = Hearing()
    bits = codec.encode(noise(0.1))
    np.testing.assert_array_equal(codec.decode(bits), codec.decode(bits))


def test_random_bits_decode_to_a_finite_sound() -> None:
    bits = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (2, 32, 768))
    sound = Hearing().decode({"hearing": bits})
    assert sound.shape == (2 * SAMPLES,)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1


@pytest.mark.parametrize("sound", [np.zeros(SAMPLES - 1), np.zeros((SAMPLES, 2)), np.full(SAMPLES, np.nan)])
def test_wrong_sounds_are_refused(sound: NDArray[np.float64]) -> None:
    with pytest.raises(StaleError, match="cannot be encoded"):
        Hearing().encode(sound)


def test_no_segments() -> None:
    codec = Hearing()
    bits = codec.encode(np.zeros(0, np.float32))
    assert bits["hearing"].shape == (0, 32, 768)
    assert codec.decode(bits).shape == (0,)
