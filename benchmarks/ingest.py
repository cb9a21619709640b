"""`ingest` beside the least that it must do: FFmpeg's bare decode (PyAV, frame by frame, nothing converted) plus the
codec's forward pass, both in processor seconds of one thread (and of the child that decodes), in one run, in turns.

Two sets: the real clips as they are (up to 456x256), and the same scaled up to 1280x720 (H.264). `ingest` also reads
the sound, scales, cuts at scenes, derives touch, smell and taste, and writes shards.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from report import Figure, data_folder, report
from stale_diffusion import media
from stale_diffusion.clips.ingest import ingest
from stale_diffusion.clips.safe import Decoder, decode
from stale_diffusion.senses import SENSES

CLIPS = 16
TURNS = 3


def bare(path: Path) -> None:
    """Decode picture and sound with one thread, and throw all away."""
    for kind in ("video", "audio"):
        with av.open(str(path)) as container:
            for stream in getattr(container.streams, kind)[:1]:
                stream.thread_type, stream.codec_context.thread_count = "NONE", 1
                for _ in container.decode(stream):
                    pass


def forward(path: Path, decoder: Decoder) -> float:
    """Processor seconds of the codecs of sight and hearing on what was decoded before."""
    clip, total = decoder.decode(path), 0.0
    for name, values in (("sight", clip.frames), ("hearing", clip.sound)):
        if values is not None:
            whole = np.resize(
                values, (-(-len(values) // SENSES[name].samples) * SENSES[name].samples, *values.shape[1:])
            )
            started = time.process_time()
            SENSES[name].encode(whole)
            total += time.process_time() - started
    return total


def larger(path: Path, out: Path) -> Path:
    """The same clip at 1280x720."""
    with media.MovieWriter(out, (1280, 720), Fraction(24), 48000, 1) as movie:
        for frame in media.read_frames(path, Fraction(24), (1280, 720)):
            movie.frame(frame)
        for sound in media.read_sound(path, 48000, 1) if media.probe(path).audio else ():
            movie.sound(sound)
    return out


def spent() -> float:
    """Processor seconds of this process and of its children, the dead and the living."""
    own, dead = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    total = own.ru_utime + own.ru_stime + dead.ru_utime + dead.ru_stime
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(clips: list[Path]) -> tuple[float, float]:
    """Medians over the turns of the processor seconds of the least and of `ingest`, for a list of clips."""
    least, ours, decoder = [], [], Decoder()
    decode(clips[0])  # a decoder serves 200 clips: its start is no part of any
    for _ in range(TURNS):
        started = spent()
        for path in clips:
            bare(path)
        least.append(spent() - started + sum(forward(path, decoder) for path in clips))
        with tempfile.TemporaryDirectory() as place:
            started = spent()
            ingest(clips[0].parent, Path(place) / "out", workers=1)
            ours.append(spent() - started)
    decoder.close()
    return float(np.median(least)), float(np.median(ours))


def main() -> None:
    """Both sets, in turns; report."""
    started = time.monotonic()
    torch.set_num_threads(1)
    figures = []
    with tempfile.TemporaryDirectory() as place:
        small, large = Path(place) / "small", Path(place) / "large"
        small.mkdir()
        large.mkdir()
        found = sorted((data_folder() / "clips/real").glob("*.mp4"))[:: 66 // CLIPS][:CLIPS]
        for path in found:
            shutil.copy(path, small)
            shutil.copy(path.with_suffix(".info.json"), small)
        for path in found[: CLIPS // 2]:
            larger(path, large / path.name)
        for name, folder in (("456x256", small), ("1280x720", large)):
            clips = sorted(folder.glob("*.mp4"))
            least, ours = measure(clips)
            figures += [
                Figure(f"speed_ratio_{name}", least / ours, "1", 0.8, "higher"),
                Figure(f"clips_per_processor_second_{name}", len(clips) / ours, "1/s", len(clips) / least, "higher"),
            ]
    report("ingest", figures, started)


if __name__ == "__main__":
    main()
