"""What the mark survives, what it costs, and whether it is ever found where it is not. `python benchmarks/watermark.py`

Movies of 20 seconds (LENGTH), 640x360, of PLACES, rendered with a fixed key, written as the program writes them, then
decoded and done to them what people do. Bit accuracy is before error correction, over the 144 bits of the code; nobody
tells the reader where, how large or how fast the mark is. Beside it `invisible-watermark` (dwtDct, 64 bits a frame, all
frames vote), its strength set to the same PSNR, or to 45 dB where ours is fainter: its way through another colour space
alone costs that much. It is told the original size where the picture was scaled.

False positives: each trial is a segment of 4 seconds of an unmarked movie and a key that never marked it.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from imwatermark import WatermarkDecoder, WatermarkEncoder
from numpy.typing import NDArray

from report import Figure, report
from stale_diffusion.dreamscapes.render import truth
from stale_diffusion.media import RGB, MovieWriter, Sound, read_frames, read_sound
from stale_diffusion.trust import golay, heard, seen, sight
from stale_diffusion.trust.carriers import rayleigh, score
from stale_diffusion.trust.keys import Key
from stale_diffusion.trust.verify import Mark, in_sight, in_sound

PLACES = os.environ.get("PLACES", "shore,kettle and coffee,snowfall").split(",")
LENGTH = float(os.environ.get("LENGTH", "20"))
KEYS = int(os.environ.get("KEYS", "100000"))
SIZE, FPS, SEED = (640, 360), Fraction(24), 11
KEY = Key(bytes(range(32)))
PAYLOAD = bytes.fromhex(KEY.public.id) + b"\x5a\xa5\x0f\xf0"
SIGNS = golay.encode(PAYLOAD)
CROP = (slice(36, 324), slice(64, 576))  # 80 % of each side
Frames = Iterable[RGB]


def encode(path: Path, frames: Frames, crf: int, fps: Fraction = FPS) -> Path:
    """H.264 by x264's own settings at a crf."""
    with av.open(str(path), "w", format="matroska") as out:
        stream: Any = None
        for i, rgb in enumerate(frames):
            if stream is None:
                stream = out.add_stream("libx264", rate=fps, options={"crf": str(crf), "threads": "2"})
                stream.height, stream.width, stream.pix_fmt = *rgb.shape[:2], "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = i, 1 / fps
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def attacks(source: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """What becomes of a movie: (name, file)."""
    whole = lambda: read_frames(source)  # noqa: E731
    target = folder / "attacked.mkv"
    yield "crf28", encode(target, whole(), 28)
    yield "crf35", encode(target, whole(), 35)
    half = (SIZE[0] // 2, SIZE[1] // 2)
    yield "half_size", encode(target, read_frames(source, size=half), 23)
    yield "crop20", encode(target, (frame[CROP] for frame in whole()), 23)
    yield "fps20", encode(target, read_frames(source, Fraction(20)), 23, Fraction(20))
    yield "slowed_24_to_20", encode(target, whole(), 23, Fraction(20))
    yield "cut5", encode(target, read_frames(source, start=LENGTH * 0.37, seconds=5), 23)


def accuracy(mark: Mark) -> float:
    """Share of the 144 bits that are right; chance where no mark was found."""
    return 0.5 if mark.soft is None else float((np.sign(mark.soft) == SIGNS).mean())


def psnr(a: Frames, b: Frames) -> float:
    """Mean over frames of the RGB PSNR in dB."""
    errors = [np.mean((x.astype(np.float32) - y) ** 2) for x, y in zip(a, b, strict=True)]
    return float(np.mean([10 * math.log10(255**2 / max(float(e), 1e-9)) for e in errors]))


class Rival:
    """invisible-watermark's dwtDct at a strength."""

    bits = np.unpackbits(np.frombuffer(PAYLOAD, np.uint8))

    def __init__(self, frames: list[RGB], target: float) -> None:
        low, high = 1.0, 120.0
        for _ in range(8):
            self.strength = (low + high) / 2
            loud = psnr(frames, [self.mark(frame) for frame in frames]) < target
            low, high = (low, self.strength) if loud else (self.strength, high)

    def mark(self, rgb: RGB) -> RGB:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bytes", PAYLOAD)
        scales = [0, self.strength, self.strength]
        return np.asarray(encoder.encode(rgb[..., ::-1].copy(), "dwtDct", scales=scales)[..., ::-1], np.uint8)

    def accuracy(self, frames: Frames) -> float:
        decoder, votes, count = WatermarkDecoder("bytes", 64), np.zeros(64), 0
        scales = [0, self.strength, self.strength]
        for rgb in frames:
            read = np.frombuffer(decoder.decode(rgb[..., ::-1].copy(), "dwtDct", scales=scales), np.uint8)
            votes, count = votes + np.unpackbits(read), count + 1
        return float(((votes > count / 2) == self.bits).mean())


def in_picture(place: str, folder: Path) -> tuple[dict[str, float], list[NDArray[np.complex128]]]:
    """Figures of one place, and the unmarked spectra of its segments."""
    found: dict[str, float] = {}
    screen = truth(place, LENGTH, SEED).screen
    assert screen is not None
    raw = encode(folder / "raw.mkv", screen.frames(SIZE, FPS), 0)
    mark, spent = sight.SightMark(KEY.secret, SIGNS, SIZE), 0.0
    errors: list[float] = []
    ours, rivals = folder / "ours.mkv", folder / "theirs.mkv"
    with MovieWriter(ours, SIZE, FPS, sound_rate=None, subtitles=()) as writer:
        for i, frame in enumerate(read_frames(raw)):
            began = time.thread_time()
            marked = mark(frame, float(i / FPS))
            spent += time.thread_time() - began
            errors.append(psnr([frame], [marked]))
            writer.frame(marked)
    found["psnr_db"], found["sight_ms_a_frame"] = float(np.mean(errors)), 1000 * spent / len(errors)
    theirs = Rival(list(read_frames(raw, Fraction(1, 4))), min(found["psnr_db"], 45.0))
    with MovieWriter(rivals, SIZE, FPS, sound_rate=None, subtitles=()) as writer:
        for frame in read_frames(raw):
            writer.frame(theirs.mark(frame))
    found["bit_accuracy_as_written"] = accuracy(in_sight(ours, KEY.secret))
    for name, path in attacks(ours, folder):
        found[f"bit_accuracy_{name}"] = accuracy(in_sight(path, KEY.secret))
    for name, path in attacks(rivals, folder):
        size = SIZE if name == "half_size" else None
        found[f"rival_{name}"] = theirs.accuracy(read_frames(path, Fraction(4), size))
    segments = []
    small = (SIZE[0] // 2, SIZE[1] // 2)
    for start in np.arange(0, LENGTH - 4, 1.0):
        grey = np.stack([f @ np.array([0.2126, 0.7152, 0.0722], np.float32)
                         for f in read_frames(raw, Fraction(seen.RATE), small, float(start), 4)])  # fmt: skip
        image = seen.turning(seen.flattened(grey), [1.0])[0]
        segments.append(seen.moved(seen.spectrum(image, 1.0), 0, 0))
    return found, segments


def codec(sound: Sound, name: str, rate: int, path: Path) -> Path:
    """Sound through a lossy codec."""
    with av.open(str(path), "w", format="matroska") as out:
        stream: Any = out.add_stream(name, rate=heard.RATE)
        stream.layout, stream.bit_rate, stream.format = "stereo", rate, "flt" if name == "libopus" else "fltp"
        fifo = av.AudioFifo()
        data = sound.reshape(1, -1) if name == "libopus" else sound.T
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=stream.format.name, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = heard.RATE, 0, Fraction(1, heard.RATE)
        fifo.write(frame)
        while (piece := fifo.read(stream.codec_context.frame_size or 960)) is not None:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def in_hearing(place: str, folder: Path) -> tuple[dict[str, float], list[NDArray[np.complex128]]]:
    """The same for sound."""
    screen = truth(place, LENGTH, SEED).screen
    assert screen is not None
    plain = np.concatenate(list(screen.sound(heard.RATE)))
    began = time.thread_time()
    marked = np.concatenate(list(heard.SoundMark(KEY.secret, SIGNS).stream([plain])))
    found = {"sound_ms_a_second": 1000 * (time.thread_time() - began) / LENGTH}
    before, after = heard.levels(plain), heard.levels(marked)
    audible = before > before.max() - 13.8  # within 60 dB of the loudest band
    found["sound_level_change_db"] = float(np.sqrt(((after - before)[audible] ** 2).mean())) * 10 / math.log(10)
    for name, (kind, rate) in {"opus48": ("libopus", 48_000), "aac64": ("aac", 64_000)}.items():
        path = codec(marked, kind, rate, folder / "coded.mka")
        found[f"sound_bit_accuracy_{name}"] = accuracy(in_sound(path, KEY.secret))
        lost = heard.levels(np.concatenate(list(read_sound(path, heard.RATE, 2)))[: len(plain)])[: len(after)]
        change = (lost - after[: len(lost)])[audible[: len(lost)]]
        found[f"codec_level_change_{name}_db"] = float(np.sqrt((change**2).mean())) * 10 / math.log(10)
    cut = codec(marked[101_234 : 101_234 + 5 * heard.RATE], "libopus", 96_000, folder / "coded.mka")
    found["sound_bit_accuracy_cut5"] = accuracy(in_sound(cut, KEY.secret))
    step = 4 * heard.RATE // heard.HOP
    segments = [heard.swaying(before[i : i + step]) for i in range(0, len(before) - step, step // 4)]
    return found, segments


def falsely(
    segments: list[NDArray[np.complex128]], carriers: Callable[[bytes], Any], trials: int
) -> tuple[int, float, float]:
    """Trials, share of p < 1e-6 and share of p < 0.01 of unmarked segments with strange keys."""
    chances = [rayleigh(score(segments[i % len(segments)], carriers(b"stranger %d" % i))) for i in range(trials)]
    low = np.array(chances)
    return trials, float((low < -6).mean()), float((low < -2).mean())


def main() -> None:
    started = time.monotonic()
    rows: dict[str, list[float]] = {}
    pictures: list[NDArray[np.complex128]] = []
    sounds: list[NDArray[np.complex128]] = []
    with tempfile.TemporaryDirectory() as name:
        for place in PLACES:
            for measure, segments in ((in_picture, pictures), (in_hearing, sounds)):
                found, more = measure(place, Path(name))
                segments += more
                for figure, value in found.items():
                    rows.setdefault(figure, []).append(value)
                print(place, {k: round(v, 4) for k, v in found.items()}, flush=True)
    goals = {"psnr_db": 40, "bit_accuracy_crf28": 0.99, "bit_accuracy_crf35": 0.95, "bit_accuracy_half_size": 0.95,
             "bit_accuracy_crop20": 0.90, "bit_accuracy_fps20": 0.90, "bit_accuracy_cut5": 0.90,
             "sound_bit_accuracy_opus48": 0.95, "sound_bit_accuracy_aac64": 0.95}  # fmt: skip
    figures = []
    for figure, values in rows.items():
        if figure.startswith("rival_"):
            continue
        rival = rows.get(figure.replace("bit_accuracy_", "rival_"))
        goal = f"at least {goals[figure]}" if figure in goals else ""
        beside = f"invisible-watermark {np.mean(rival):.3f}" if rival and not figure.startswith("sound") else ""
        small = figure.endswith(("_a_frame", "_a_second")) or "level_change" in figure
        unit = "dB" if figure.endswith("_db") else "ms" if small else "1"
        note = "; ".join(filter(None, (goal, beside, f"worst {(max if small else min)(values):.3f}")))
        figures.append(Figure(figure, float(np.mean(values)), unit, note, "lower" if small else "higher"))
    for sense, segments, carriers in (("", pictures, sight.carriers), ("sound_", sounds, heard.carriers)):
        trials, million, hundred = falsely(segments, carriers, KEYS)
        note = f"1e-06 by the null law; {trials} keys on {len(segments)} segments"
        figures.append(Figure(f"{sense}false_positive_rate", million, "1", note, "lower"))
        figures.append(Figure(f"{sense}share_below_p_001", hundred, "1", "0.01 by the null law", "lower"))
    report("watermark", figures, started)


if __name__ == "__main__":
    main()
