"""The sight and hearing codecs beside x264 (veryslow), SVT-AV1 (preset 3) and Opus at the same rate, raw streams.

    DATA=../shared python benchmarks/codecs.py

Real clips are those whose whole recording was held out of the fit; Dreamscapes are unseen seeds. Each peer's quality is
bisected until its packets, without a container, are at most as many bits as ours. PSNR is that of RGB over a whole
clip; the DoG-band error is the mean absolute difference of the log energies (dB) of four luma bands; the mel distance
is that of 64 bands (dB, floor -100, window 1024, hop 256).

Shapes: F frames, H, W pixels, T samples.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from distances import mel_distance, psnr
from report import Figure, data_folder, report
from stale_diffusion.dreamscapes.perform import BUILT
from stale_diffusion.media import probe, read_frames, read_sound
from stale_diffusion.senses.hearing import RATE, Hearing
from stale_diffusion.senses.sight import FPS, HEIGHT, WIDTH, Sight
from stale_diffusion.training.fit_codecs import dream, held_out, manifest

DREAMS = 2  # unseen seeds of each place
SOUND_SECONDS = 8
SIGMAS = (1, 2, 4, 8)

Array = NDArray[Any]


def luma(frames: Array) -> Array:
    """RGB (F, H, W, 3) -> (F, H, W)."""
    return frames.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def band_levels(frames: Array) -> Array:
    """Log energy (dB) of the Difference-of-Gaussians bands of luma, (4,)."""
    y = luma(frames)
    blurred = [y, *(gaussian_filter(y, (0, s, s)) for s in SIGMAS)]
    return np.array([10 * np.log10(np.mean((a - b) ** 2) + 1e-6) for a, b in pairwise(blurred)])


def ms_ssim(source: Array, other: Array) -> float:
    """MS-SSIM of luma (Wang, Simoncelli and Bovik 2003), four scales for a picture of 96 rows."""
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363])
    a, b, score = luma(source), luma(other), 1.0
    for level, weight in enumerate(weights / weights.sum()):
        mean_a, mean_b, aa, bb, ab = (gaussian_filter(v, (0, 1.5, 1.5)) for v in (a, b, a * a, b * b, a * b))
        contrast = (2 * (ab - mean_a * mean_b) + 58.5) / (aa - mean_a**2 + bb - mean_b**2 + 58.5)
        light = (2 * mean_a * mean_b + 6.5) / (mean_a**2 + mean_b**2 + 6.5)
        score *= max(float(np.mean(contrast * light if level == 3 else contrast)), 0) ** weight
        a, b = (v.reshape(len(v), v.shape[1] // 2, 2, -1, 2).mean((2, 4)) for v in (a, b))
    return score


def encode_video(frames: Array, codec: str, quality: float) -> tuple[int, Array]:
    """Bits of the packets, and the decoded frames, of one peer at one quality."""
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(FPS), Fraction(1, FPS)
    encoder.options = {"preset": "veryslow" if codec == "libx264" else "3", "crf": f"{quality:g}"}
    packets = []
    for i, rgb in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p", dst_colorspace="itu709")
        frame.pts = i
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder: Any = av.CodecContext.create("h264" if codec == "libx264" else "libdav1d", "r")
    pictures = [f for packet in [*packets, None] for f in decoder.decode(packet)]
    pictures.sort(key=lambda f: f.pts)
    decoded = [f.reformat(format="rgb24", src_colorspace="itu709").to_ndarray() for f in pictures]
    return 8 * sum(p.size for p in packets), np.stack(decoded)


def encode_sound(sound: Array, bitrate: float) -> tuple[int, Array]:
    """Bits of Opus's packets, and the decoded sound, aligned."""
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = RATE, "mono", "flt", round(bitrate)
    encoder.time_base, encoder.options = Fraction(1, RATE), {"application": "audio", "frame_duration": "60"}
    encoder.open()
    size = encoder.frame_size
    padded = np.pad(sound, (0, -len(sound) % size + size)).astype(np.float32)
    packets = []
    for at in range(0, len(padded), size):
        frame = av.AudioFrame.from_ndarray(padded[None, at : at + size], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, encoder.time_base
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.extradata = encoder.extradata
    resampler = av.AudioResampler("flt", "mono", RATE)
    frames = [f for packet in packets for f in decoder.decode(packet)]
    parts = [f.to_ndarray()[0] for frame in [*frames, None] for f in resampler.resample(frame)]
    decoded = np.concatenate(parts)
    head = min(len(sound), len(decoded) - 400, 2 * RATE)
    delay = max(range(400), key=lambda d: float(decoded[d : d + head] @ sound[:head]))
    bits = 8 * sum(p.size for p in packets) * len(sound) / len(padded)
    return round(bits), np.pad(decoded[delay:], (0, len(sound)))[: len(sound)]


def at_rate(bits: int, low: float, high: float, encode: Callable[[float], tuple[int, Array]]) -> tuple[int, Array]:
    """The largest stream of at most `bits` between a quality `low`, too small a stream, and `high`, too large a one."""
    best = encode(low)
    for _ in range(8):
        middle = (low + high) / 2
        tried = encode(middle)
        if tried[0] <= bits:
            low, best = middle, tried
        else:
            high = middle
    return best


@dataclass(frozen=True)
class Score:
    """What one codec made of one clip."""

    codec: str
    kbits: float
    psnr: float
    ms_ssim: float
    band_error: float


def score_frames(frames: Array, codec: Sight, peers: list[str]) -> list[Score]:
    """Ours first, then the peers at our rate."""
    bits = codec.encode(frames)
    ours = sum(b.size for b in bits.values())
    results = [("ours", ours, codec.decode(bits))]
    for peer in peers:
        worst = 51.0 if peer == "libx264" else 63.0
        results.append((peer, *at_rate(ours, worst, 10.0, partial(encode_video, frames, peer))))
    seconds, truth = len(frames) / FPS, band_levels(frames)
    return [
        Score(n, b / seconds / 1000, psnr(frames, f), ms_ssim(frames, f), float(np.abs(band_levels(f) - truth).mean()))
        for n, b, f in results
    ]


def means(scores: list[list[Score]], kind: str) -> dict[str, Score]:
    """Means over clips by codec, printed."""
    out = {}
    for column in zip(*scores, strict=True):
        values = [np.mean([getattr(s, f) for s in column]) for f in ("kbits", "psnr", "ms_ssim", "band_error")]
        out[column[0].codec] = mean = Score(column[0].codec, *map(float, values))
        print(
            f"{kind:6} {mean.codec:12} {mean.kbits:6.2f} kbit/s  PSNR {mean.psnr:6.2f} dB  MS-SSIM {mean.ms_ssim:.4f}  "
            f"DoG-band error {mean.band_error:.2f} dB  ({len(column)} clips)"
        )
    return out


def sight_figures(clips: Path) -> list[Figure]:
    """Real clips and Dreamscapes."""
    codec = Sight()
    peers = [str(c) for c in ("libx264", "libsvtav1") if c in av.codecs_available]
    size = (WIDTH, HEIGHT)
    rows = [r for r in manifest(clips) if held_out(r) and r["file"].startswith("real/")]
    real = [np.stack(list(read_frames(clips / r["file"], Fraction(FPS), size))) for r in rows]
    real = [f[: len(f) // codec.samples * codec.samples] for f in real if len(f) >= codec.samples]
    dreams = [dream(name, 9000 + seed)[0] for name in BUILT for seed in range(DREAMS)]
    figures = []
    for kind, movies in (("real", real), ("dreams", dreams)):
        mean = means([score_frames(f, codec, peers) for f in movies], kind)
        ours, x264 = mean["ours"], mean["libx264"]
        figures += [
            Figure(f"{kind}_psnr_minus_x264_db", ours.psnr - x264.psnr, "dB", f"x264 {x264.psnr:.2f}", "higher"),
            Figure(
                f"{kind}_band_error_ratio_to_x264",
                ours.band_error / x264.band_error,
                "1",
                f"x264 {x264.band_error:.2f} dB",
                "lower",
            ),
            Figure(f"{kind}_ms_ssim", ours.ms_ssim, "1", x264.ms_ssim, "higher"),
        ]
    return figures


def hearing_figures(clips: Path) -> list[Figure]:
    """Held-out recordings."""
    codec, length = Hearing(), SOUND_SECONDS * RATE
    ours, opus = [], []
    for row in manifest(clips):
        if not held_out(row) or not row["file"].startswith("sounds/") or not probe(clips / row["file"]).audio:
            continue
        sound = np.concatenate(list(read_sound(clips / row["file"], RATE, 1)))[:length, 0]
        bits = codec.encode(np.pad(sound, (0, -len(sound) % codec.samples)))
        ours.append(mel_distance(sound, codec.decode(bits)[: len(sound)]))
        rate = bits["hearing"][0].size * len(sound) // codec.samples
        size, decoded = at_rate(rate, 3000.0, 16000.0, partial(encode_sound, sound))
        opus.append((mel_distance(sound, decoded), size / len(sound) * RATE / 1000))
    mean, (peer, kbits) = float(np.mean(ours)), (float(v) for v in np.mean(opus, 0))
    print(f"sounds ours         6.14 kbit/s  mel distance {mean:.2f} dB  ({len(ours)} clips)")
    print(f"sounds libopus      {kbits:.2f} kbit/s  mel distance {peer:.2f} dB")
    return [Figure("hearing_mel_ratio_to_opus", mean / peer, "1", f"Opus {peer:.2f} dB", "lower")]


if __name__ == "__main__":
    begun = time.monotonic()
    os.environ.setdefault("SVT_LOG", "1")  # errors only
    folder = data_folder() / "clips"
    report("codecs", [*sight_figures(folder), *hearing_figures(folder)], begun)
