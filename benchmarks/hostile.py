"""2,000 broken media files (MUTANTS) and a dozen wicked ones through the decoder of `ingest`: what crashes, what hangs.

Mutants are made of six small files of the formats that are read: bits flipped, fields set to extremes, pieces cut out,
doubled, swapped between files, ends cut off. Wicked ones name other files, are no files, or claim the enormous.
"""

from __future__ import annotations

import multiprocessing
import os
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from report import Figure, report
from stale_diffusion import media
from stale_diffusion.clips.crew import cores
from stale_diffusion.clips.safe import Decoder
from stale_diffusion.errors import StaleError

MUTANTS = int(os.environ.get("MUTANTS", "2000"))
WALL_SECONDS = 60.0
EXTREMES = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0")
CLIP = Path(__file__).parents[1] / "tests/data/sea_island_05.mp4"


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Small whole files, one of each kind: (suffix, bytes)."""
    dice = np.random.default_rng(0)
    found = [(".mp4", CLIP.read_bytes())]
    for suffix in (".mp4", ".mkv", ".webm"):
        with media.MovieWriter(folder / f"seed{suffix}", (64, 48), Fraction(12), 48000, 1) as movie:
            for _ in range(24):
                movie.frame(dice.integers(0, 255, (48, 64, 3), dtype=np.uint8))
            movie.sound(dice.normal(0, 0.1, (96000, 1)).astype(np.float32))
        found.append((suffix, (folder / f"seed{suffix}").read_bytes()))
    samples = (3000 * np.sin(np.arange(24000) / 20)).astype("<i2").tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, 1, 24000, 48000, 2, 16)
    head = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + form + b"data"
    header = head + struct.pack("<I", len(samples))
    return [*found, (".wav", header + samples)]


def mutate(data: bytes, other: bytes, dice: np.random.Generator) -> bytes:
    """One to four wounds."""
    out = bytearray(data)
    for _ in range(dice.integers(1, 5)):
        head = bool(dice.integers(0, 2))  # half of the wounds where the headers are
        at = int(dice.integers(0, max(1, min(len(out), 2048 if head else len(out)))))
        size = int(2 ** dice.uniform(0, 12))
        kind = dice.integers(0, 7)
        if kind == 0:
            for place in dice.integers(0, max(1, len(out)), size=int(dice.integers(1, 64))).tolist():
                if place < len(out):
                    out[place] ^= 1 << int(dice.integers(0, 8))
        elif kind == 1:
            out[at : at + 4] = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0"][
                dice.integers(0, 4)
            ]
        elif kind == 2:
            del out[at : at + size]
        elif kind == 3:
            out[at:at] = out[at : at + size] * int(dice.integers(1, 5))
        elif kind == 4:
            out[at : at + size] = other[at : at + size]
        elif kind == 5:
            out[at : at + size] = dice.integers(0, 256, size, dtype=np.uint8).tobytes()
        else:
            del out[at + 64 :]
    return bytes(out)


def wicked(folder: Path, outside: Path) -> Iterator[Path]:
    """Files that must never be decoded; `outside` is a whole movie that some of them point to."""
    texts = {
        "concat.mp4": f"ffconcat version 1.0\nfile '{outside}'\n",
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{outside}\n#EXT-X-ENDLIST\n",
        "net.mp4": "#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "dash.mp4": f"<?xml version='1.0'?><MPD><Period><BaseURL>{outside}</BaseURL></Period></MPD>",
        "sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
        "giant.mp4": "\0\0\0\x01ftypisom" + "\x7f" * 8,
        "empty.mkv": "",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="latin-1")
        yield folder / name
    os.mkfifo(folder / "pipe.mp4")
    (folder / "zero.mp4").symlink_to("/dev/zero")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "folder.mp4").mkdir()
    yield from (folder / name for name in ("pipe.mp4", "zero.mp4", "loop.mp4", "folder.mp4"))


def slice_of(arguments: tuple[int, int, list[tuple[str, bytes]]]) -> Counter[str]:
    """Every `step`-th mutant from `first` on, decoded under limits: how they ended."""
    first, step, whole = arguments
    ends: Counter[str] = Counter()
    decoder = Decoder()
    with tempfile.TemporaryDirectory() as place:
        for index in range(first, MUTANTS, step):
            dice = np.random.default_rng(index)
            suffix, data = whole[index % len(whole)]
            path = Path(place) / f"mutant{suffix}"
            path.write_bytes(mutate(data, whole[int(dice.integers(0, len(whole)))][1], dice))
            ends[end_of(decoder, path)] += 1
            if not ends.total() % 100:
                print(first, dict(ends), file=sys.stderr)
    decoder.close()
    ends["replaced"] = decoder.replaced
    return ends


def end_of(decoder: Decoder, path: Path) -> str:
    """ "decoded", "refused", "killed" (its child died or went over a limit), "hang", or "crash"."""
    lost, started = decoder.replaced, time.monotonic()
    try:
        decoder.decode(path, seconds=20.0, wall_seconds=WALL_SECONDS)
        how = "decoded"
    except StaleError:
        how = "refused" if decoder.replaced == lost else "killed"
    except Exception as error:  # whatever else: that is what is counted
        print(f"crash: {error!r}", file=sys.stderr)
        how = "crash"
    return "hang" if time.monotonic() - started > WALL_SECONDS - 1 else how


def main() -> None:
    """Make, decode, count, report."""
    started, workers = time.monotonic(), cores()
    with tempfile.TemporaryDirectory() as place:
        whole = seeds(Path(place))
        (Path(place) / "clips").mkdir()
        decoder = Decoder()
        evil = Counter(end_of(decoder, path) for path in wicked(Path(place) / "clips", CLIP))
        decoder.close()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        ends = sum(pool.imap(slice_of, [(k, workers, whole) for k in range(workers)]), Counter[str]())
    files = MUTANTS + evil.total()
    report("hostile", [
        Figure("files", files, "1", f"{MUTANTS} mutants of {len(whole)} files, {evil.total()} wicked", "higher"),
        Figure("crashes", ends["crash"] + evil["crash"], "1", 0, "lower"),
        Figure("hangs", ends["hang"] + evil["hang"], "1", 0, "lower"),
        Figure("decoded", ends["decoded"], "1", "what was left of it", "higher"),
        Figure("refused", ends["refused"], "1", "in one line", "higher"),
        Figure("children_lost", ends["replaced"], "1", "died or went over a limit; replaced", "lower"),
        Figure("wicked_decoded", evil["decoded"], "1", 0, "lower"),
    ], started)  # fmt: skip


if __name__ == "__main__":
    main()
