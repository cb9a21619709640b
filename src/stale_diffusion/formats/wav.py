"""Touch as sound, NAME.touch.wav: seat on the left, back on the right, edited in an audio editor and measured back.

What export writes is the vibration itself, a sine of the felt frequency under the amplitude of each place. Where an
edited file differs from that, amplitude and frequency are measured by the analytic signal; elsewhere touch stays as it
is.

Shapes: N samples of sound, T samples of touch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.movie import Movie
from stale_diffusion.senses.base import SEGMENT_SECONDS
from stale_diffusion.senses.touch import FREQUENCY, RATE, drive
from stale_diffusion.timeline import Track

SOUND_RATE = 8_000  # Hz
TICK = SOUND_RATE // RATE  # samples of sound a sample of touch
BAND = (10.0, 500.0)  # Hz; what of an edited sound is a vibration
NOTICED = 0.003  # root mean square of a difference that is an edit: dither and resampling stay under half of it
SILENT = 0.002  # amplitude under which there is nothing to measure
BLOCK = 64 * RATE  # samples of touch measured at once
CONTEXT = RATE  # ... and on either side

Sound = NDArray[np.float32]


def vibration(track: Track) -> Iterator[Sound]:
    """What a bass shaker plays, a segment at a time, (N, 2) at SOUND_RATE, the phase running through."""
    step, phase = int(track.rate * SEGMENT_SECONDS), 0.0
    for i in range(0, len(track.values), step):
        signal, phase = drive(track.values[i : i + step], SOUND_RATE, phase)
        yield signal


def stream(movie: Movie) -> Iterator[bytes]:
    """The touch of a movie as a WAV file, 16 bits, in pieces."""
    size = len(movie.touch.values) * TICK * 4
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 2, SOUND_RATE, SOUND_RATE * 4,
                       4, 16, b"data", size)  # fmt: skip
    yield head
    for sound in vibration(movie.touch):
        yield np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()


def read(path: Path, track: Track) -> NDArray[np.float32]:
    """The touch of an edited sound, (T, 5), for a track: measured where the sound differs from what was written.

    Raises:
        StaleError: it is no sound of two channels, or not as long as the movie.
    """
    _check(path, len(track.values))
    written = vibration(track)
    values = track.values.copy()
    for first in range(0, len(values), BLOCK):
        last = min(first + BLOCK, len(values))
        begin, end = max(0, first - CONTEXT), min(len(values), last + CONTEXT)
        edited = _sound(path, begin, end)
        as_written = np.concatenate(list(islice(written, BLOCK // (RATE * SEGMENT_SECONDS))))
        inner = slice(first - begin, last - begin)
        apart = edited.reshape(-1, TICK, 2)[inner] - as_written.reshape(-1, TICK, 2)
        changed = (apart**2).mean(1) > NOTICED**2
        if changed.any():
            felt, hertz, known = measure(edited)
            values[first:last, :2] = np.where(changed, felt[inner], values[first:last, :2])
            heard = known[inner] & changed.any(1)
            values[first:last, 2] = np.where(heard, hertz[inner], values[first:last, 2])
    return values


def measure(sound: Sound) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Amplitude of seat and back (T, 2), their frequency in Hz (T,), and whether there is one, of a sound (N, 2)."""
    n = len(sound)
    hertz = np.fft.fftfreq(n, 1 / SOUND_RATE)
    keep = 2.0 * ((hertz >= BAND[0]) & (hertz <= BAND[1]))
    analytic = np.fft.ifft(np.fft.fft(sound, axis=0) * keep[:, None], axis=0)
    felt = np.abs(analytic).reshape(-1, TICK, 2).mean(1)
    turn = (analytic[1:] * analytic[:-1].conj()).sum(1)
    turns = np.append(turn, 0).reshape(-1, TICK).sum(1)
    smooth = np.convolve(turns, (0.5, 1, 0.5), "same")
    frequency = np.angle(smooth) * SOUND_RATE / (2 * np.pi)
    felt[felt < SILENT] = 0
    return np.clip(felt, 0, 1), np.clip(frequency, *FREQUENCY), felt.max(1) > 0


def _check(path: Path, ticks: int) -> None:
    from stale_diffusion import media  # av takes a while to import

    probe = media.probe(path)
    if not probe.audio or probe.audio[0].channels != 2:
        raise StaleError(f"{path} cannot be put back.", "it does not have two channels, seat left and back right",
                         "save it as stereo")  # fmt: skip
    if abs(probe.seconds - ticks / RATE) > 1 / RATE:
        why = f"it lasts {probe.seconds:.2f} s, touch lasts {ticks / RATE:.2f} s"
        raise StaleError(f"{path} cannot be put back.", why, "put silence where something was cut out")


def _sound(path: Path, begin: int, end: int) -> Sound:
    """The sound of some samples of touch, (N, 2)."""
    from stale_diffusion import media

    chunks = media.read_sound(path, SOUND_RATE, 2, begin / RATE, (end - begin) / RATE)
    sound = np.concatenate([np.zeros((0, 2), np.float32), *chunks])
    return np.pad(sound, ((0, (end - begin) * TICK - len(sound)), (0, 0)))
