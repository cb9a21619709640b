"""Loudness beside FFmpeg's ebur128, and true peaks of known waves."""

import numpy as np
import pytest

from stale_diffusion.media import LoudnessMeter
from stale_diffusion.trust.loudness import TENTH, Gated, Weighed, true_peaks

RATE = 48_000


def noise(seconds: float, slope: float = 0.0, level: float = 0.05) -> np.ndarray:
    """Stereo noise whose spectrum falls like f^-slope."""
    n = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal((n, 2)), axis=0)
    spectrum *= (np.maximum(np.fft.rfftfreq(n, 1 / RATE), 5) ** -slope)[:, None]
    out = np.fft.irfft(spectrum, n, axis=0)
    return (out / out.std() * level).astype(np.float32)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("piece", [RATE // TENTH, 4 * RATE])
def test_it_agrees_with_ebur128_in_pieces_of_any_length(slope: float, piece: int) -> None:
    sound = noise(6, slope)
    sound[RATE : 3 * RATE] *= 0.05  # below the relative gate
    weighed, gated, meter = Weighed(RATE), Gated(), LoudnessMeter(RATE)
    for at in range(0, len(sound), piece):
        gated.add(weighed.powers(sound[at : at + piece], TENTH))
    meter.add(sound)
    loud, _, _ = meter.result()
    assert loud is not None
    assert gated.loudness() == pytest.approx(loud, abs=0.1)


def test_a_sine_has_the_loudness_that_the_standard_gives_it() -> None:
    t = np.arange(5 * RATE) / RATE
    sound = np.stack([np.sin(2 * np.pi * 997 * t), 0 * t], 1).astype(np.float32)
    gated = Gated()
    gated.add(Weighed(RATE).powers(sound, TENTH))
    assert gated.loudness() == pytest.approx(-3.01, abs=0.1)


def test_silence_has_none() -> None:
    gated = Gated()
    gated.add(np.zeros(50))
    assert gated.loudness() == -np.inf


def test_a_true_peak_lies_between_the_samples() -> None:
    t = np.arange(4800) / RATE
    wave = np.sin(2 * np.pi * RATE / 4 * t + np.pi / 4)  # its samples reach .707 only
    sound = np.stack([wave, wave], 1).astype(np.float32)
    assert np.abs(sound).max() < 0.71
    assert true_peaks(sound)[100:-100].max() == pytest.approx(1.0, abs=0.01)
