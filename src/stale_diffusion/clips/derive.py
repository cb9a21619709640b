"""Touch from sound and picture by signal processing, marked "derived" wherever it is shown.

Vibration (a bass shaker under the seat, a second one at the back):
  back       followers of bands, mixed as haptic designers would have it (`felt.amplitude`); the steady part above the
             bass is taken off, so that rain rests and a door is felt, and so are birds: high and tonal
  seat       the same, as far as it is bass: thunder, surf, engines
  frequency  the power-weighted mean of log-frequency in 20-300 Hz
A voice must not shake the seat: where the sound is harmonic (autocorrelation of 80-1000 Hz at a pitch of 75-350 Hz),
most of its power lies in 60-3400 Hz, and the level of 300-3400 Hz swings at the pace of syllables (3-6 Hz), the seat
and the back are turned down. An engine is harmonic too, but does not swing.

Wind: the caption's, with gusts that follow the slow level of 80-500 Hz, plus what a moving camera adds.

Shapes: n samples, T ticks of the control rate, F frequency bins, H, W picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.clips import felt

Array = NDArray[np.float64]

CONTROL_RATE = 64
WINDOW = 0.064  # seconds: 16 Hz of resolution, the least that separates the bands
FLOOR = 10 ** (-60 / 20)  # RMS below which nothing is felt
STEADY = 0.5  # of the steady part above the bass that is taken off
SEAT, FREQUENCY = (20.0, 120.0), (20.0, 300.0)
REST_HZ, REST_CELSIUS, REST_WIND = 60.0, 18.0, 0.5  # where nothing is said or heard
MOTION_WIND = 3.0  # m/s that a camera adds which crosses a quarter of its picture in a second


def touch_from_sound(sound: NDArray[np.float32], rate: int, control_rate: int = CONTROL_RATE) -> NDArray[np.float32]:
    """Vibration that belongs to a sound: (n,) in [-1, 1] -> (T, 3) seat amplitude, back amplitude [0, 1], frequency Hz.

    T is n * control_rate / rate, rounded up; tick k is centred on k / control_rate seconds.
    """
    ticks = -(-len(sound) * control_rate // rate)
    if not ticks:
        return np.zeros((0, 3), np.float32)
    power_TF, hertz_F = _spectrogram(np.asarray(sound, np.float64), rate, ticks, control_rate)
    voice = _voice(np.asarray(sound, np.float64), rate, power_TF, hertz_F, control_rate)
    heard_at = np.flatnonzero(np.abs(sound) > felt.FLOOR)
    seconds = (heard_at[-1] - heard_at[0]) / rate if len(heard_at) else 0.0
    lasting = np.clip((seconds - 1) / 2, 0, 1)  # one beep is a signal; what goes on is speech, or a bird
    voice *= lasting
    strong = felt.amplitude(sound, rate, ticks, control_rate)
    total = power_TF.sum(1)
    bass = np.clip(2 * np.sqrt(_band(power_TF, hertz_F, *SEAT) ** 2 / (total + 1e-12)), 0, 1)
    seat = strong * bass * (1 - voice)
    steady = STEADY * _background((1 - bass) * strong)
    back = np.maximum(strong - steady, 0) * (1 - lasting * _birdlike(power_TF, hertz_F)) * (1 - voice)
    low = (hertz_F >= FREQUENCY[0]) & (hertz_F <= FREQUENCY[1])
    weight = power_TF[:, low]
    heard = weight.sum(1)
    pitch = np.log(REST_HZ) + np.where(heard > FLOOR**2, weight @ np.log(hertz_F[low] / REST_HZ) / (heard + 1e-20), 0)
    frequency = np.clip(np.exp(_smooth(pitch, 8)), *FREQUENCY)
    return np.stack([seat, back, frequency], -1).astype(np.float32)


def _spectrogram(sound: Array, rate: int, ticks: int, control_rate: int) -> tuple[Array, Array]:
    """Power (T, F) around every tick, summing to the mean square, and the frequencies (F,)."""
    size = int(WINDOW * rate) // 2 * 2
    window = np.hanning(size + 1)[:-1]
    padded = np.concatenate([np.zeros(size // 2), sound, np.zeros(size)])
    starts = np.arange(ticks) * rate // control_rate
    views = np.lib.stride_tricks.sliding_window_view(padded, size)
    power = np.concatenate(
        [np.abs(np.fft.rfft(views[s] * window)) ** 2 for s in np.array_split(starts, -(-ticks // 512))]
    )
    power *= 2 / (size * np.sum(window**2))
    return np.asarray(power, np.float64), np.asarray(np.fft.rfftfreq(size, 1 / rate), np.float64)


def _band(power_TF: Array, hertz_F: Array, low: float, high: float) -> Array:
    """Root mean square of a band, (T,)."""
    inside = (hertz_F >= low) & (hertz_F <= high)
    return np.asarray(np.sqrt(power_TF[:, inside].sum(1)))


def _background(level: Array) -> Array:
    """The lowest fifth of the three seconds around, (T,); little where a sound is shorter than that."""
    reach = 3 * CONTROL_RATE // 2
    if len(level) <= 2 * reach:
        return np.zeros_like(level)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(level, reach, mode="reflect"), 2 * reach + 1)
    return np.asarray(np.quantile(around, 0.2, axis=1))


def _birdlike(power_TF: Array, hertz_F: Array) -> Array:
    """How much each tick is a whistle above 2.5 kHz, (T,) in [0, 1]: little below, and a few lines above."""
    high = power_TF[:, hertz_F >= 2500]
    above = high.sum(1) + 1e-12
    line = np.sort(high, axis=1)[:, -4:].sum(1) / above  # a Hann window spreads a line over about four bins
    whistle = np.clip((above / (power_TF.sum(1) + 1e-12) - 0.8) / 0.15, 0, 1) * np.clip((line - 0.4) / 0.3, 0, 1)
    return _highest(whistle, 4)


def _highest(values: Array, reach: int) -> Array:
    """The highest value within `reach` ticks on either side, (T,)."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(np.pad(values, reach), 2 * reach + 1).max(1))


def _voice(sound: Array, rate: int, power_TF: Array, hertz_F: Array, control_rate: int) -> Array:
    """How much each tick sounds like a voice, (T,) in [0, 1]: harmonic, of speech's band, swinging in syllables."""
    speech = _band(power_TF, hertz_F, 300, 3400)
    share = _band(power_TF, hertz_F, 60, 3400) ** 2 / (power_TF.sum(1) + 1e-12)
    slow = _smooth(speech, control_rate)
    second = 2 * control_rate
    swing = np.sqrt(_smooth((_smooth(speech, 6) - _smooth(speech, 22)) ** 2, second))  # about 3 to 6 Hz
    syllabic = np.clip((swing / (slow + 1e-6) - 0.12) / 0.2, 0, 1)
    harmonic = _smooth(np.clip((_harmonicity(power_TF, hertz_F) - 0.35) / 0.3, 0, 1), control_rate // 2)
    deep = _smooth(_band(power_TF, hertz_F, 20, 80), control_rate)
    louder = np.clip(slow / (deep + 1e-6) - 0.5, 0, 1)
    likeness = _smooth(harmonic * syllabic * louder * np.clip(share * 1.3, 0, 1), control_rate // 4)
    return np.asarray(np.clip(1.7 * likeness, 0, 1))


def _harmonicity(power_TF: Array, hertz_F: Array) -> Array:
    """Highest normalised autocorrelation at a pitch of 75-350 Hz, (T,), of the band 80-1000 Hz."""
    inside = np.where((hertz_F >= 80) & (hertz_F <= 1000), power_TF, 0)
    correlation = np.fft.irfft(inside, axis=1)
    rate = 2 * hertz_F[-1]
    lags = slice(int(rate / 350), int(rate / 75) + 1)
    return np.asarray(correlation[:, lags].max(1) / (correlation[:, 0] + 1e-12))


def _smooth(values: Array, ticks: int) -> Array:
    """Running mean over `ticks`, the ends held."""
    before = ticks // 2
    padded = np.pad(values, (before, ticks - 1 - before), mode="edge")
    sums = np.cumsum(np.concatenate([[0.0], padded]))
    return np.asarray((sums[ticks:] - sums[:-ticks]) / ticks)


def motion(frames: NDArray[np.uint8], fps: float) -> Array:
    """How fast the whole picture moves, (T,) picture widths a second, one a frame of (T, H, W, 3).

    Normal flow |dI/dt| / |grad I| where there is texture; its lower quartile, so that a still background means that
    the camera stands still however much moves before it.
    """
    grey = frames.astype(np.float32).mean(-1)[:, ::2, ::2]
    speeds = np.zeros(len(grey))
    for k in range(1, len(grey)):
        gy, gx = np.gradient(grey[k])
        slope = np.hypot(gx, gy)
        textured = slope > 4
        if textured.mean() > 0.02:
            flow = np.abs(grey[k] - grey[k - 1])[textured] / slope[textured]
            speeds[k] = np.quantile(flow, 0.25) * fps / grey.shape[2]
    speeds[:1] = speeds[1:2]
    return speeds


def wind(sound: NDArray[np.float32] | None, rate: int, ticks: int, base: float, moving: Array | None) -> Array:
    """Wind in m/s, (T,): base with gusts from the slow level of 80-500 Hz (halved to 1.6 times), plus camera motion."""
    gust = np.ones(ticks)
    if sound is not None and len(sound):
        power_TF, hertz_F = _spectrogram(np.asarray(sound, np.float64), rate, ticks, CONTROL_RATE)
        slow = _smooth(_band(power_TF, hertz_F, 80, 500), CONTROL_RATE)
        gust = np.clip((slow + 1e-4) / (slow.mean() + 1e-4), 0.5, 1.6)
    added = np.zeros(ticks)
    if moving is not None and len(moving):
        at = np.linspace(0, len(moving) - 1, ticks)
        added = MOTION_WIND * np.clip(4 * np.interp(at, np.arange(len(moving)), moving), 0, 1)
        added = _smooth(added, CONTROL_RATE)
    return np.clip(base * gust + added, 0, 20)


def touch(
    sound: NDArray[np.float32] | None,
    rate: int,
    ticks: int,
    frames: NDArray[np.uint8] | None = None,
    fps: float = 12.0,
    temperature: float | None = None,
    base_wind: float | None = None,
) -> NDArray[np.float32]:
    """Touch values (T, 5) at CONTROL_RATE: seat, back [0, 1], frequency Hz, temperature C, wind m/s.

    Args:
        sound: (n,) at `rate`; None: nothing vibrates.
        frames: (T', H, W, 3) at `fps`; None: no camera motion.
        temperature, base_wind: what the caption says; None: a mild day.
    """
    values = np.zeros((ticks, 5), np.float32)
    values[:, 2] = REST_HZ
    if sound is not None and len(sound):
        found = touch_from_sound(sound, rate)[:ticks]
        values[: len(found), :3] = found
    values[:, 3] = REST_CELSIUS if temperature is None else temperature
    moving = motion(frames, fps) if frames is not None and len(frames) > 1 else None
    values[:, 4] = wind(sound, rate, ticks, REST_WIND if base_wind is None else base_wind, moving)
    return values
