"""What `restore` gives back, beside FFmpeg's concealment, holding, blending, minterpolate, repeating and adeclick.

    DATA=../shared python benchmarks/restore.py        # PART=gaps,blocks: some of it

Parts may be run one by one: their figures are merged into out/bench/restore.json. Clips of recordings that were held
out (training.fit_codecs.held_out) are the test, of the others validation: one a recording, at most CLIPS (6). What
validation finds best is printed, and stands as a constant in the package. PSNR is over all pictures that are not as in
the undamaged stream, the mel distance over all frames that a hole or a click touches.

Shapes: T pictures or samples, N bits.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import restore_streams as streams
from report import OUT, Figure, data_folder, report
from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.generate import Generator, load
from stale_diffusion.media import minterpolate, read_frames, read_marks, read_sound
from stale_diffusion.restoring import bits, listening, pictures, seeing, sounds
from stale_diffusion.restoring.damage import CORRUPT, LOST, Damage
from stale_diffusion.restoring.finding import tight
from stale_diffusion.sample import ancestral, pack, unpack
from stale_diffusion.senses import SENSES
from stale_diffusion.training.fit_codecs import held_out, manifest

SIZE, FPS, RATE = (320, 180), 24, 48_000
CLIPS = int(os.environ.get("CLIPS", "6"))
DREAMS = int(os.environ.get("DREAMS", "24"))
SEED = 9005  # no config trains on it
LANES = ("scene", "touch.vibration", "touch.air", "smell", "taste")
HIDDEN = ("scene", "sight.fine")  # what a film does not bring
Frames = list[NDArray[np.uint8]]
Scores = dict[str, list[float]]
OURS = "ours"


def clips(test: bool, folder: str = "real/") -> list[Path]:
    """One clip of each recording, CLIPS at most."""
    root = data_folder() / "clips"
    rows = [r for r in manifest(root) if r["file"].startswith(folder) and held_out(r) == test]
    first = {r["source_repo"] + r["source_path"]: root / r["file"] for r in reversed(rows)}
    files = sorted(first.values())
    return files[:: max(1, len(files) // CLIPS)][:CLIPS]


def film(path: Path) -> Frames:
    """A clip's pictures at SIZE and FPS."""
    return list(read_frames(path, Fraction(FPS), SIZE))


def psnr(made: Sequence[NDArray[np.uint8]], true: Sequence[NDArray[np.uint8]]) -> float:
    """dB over all pixels of some pictures, at most 60."""
    error = np.mean([np.mean((a.astype(np.float32) - b) ** 2) for a, b in zip(made, true, strict=True)])
    return float(min(60.0, 10 * np.log10(255**2 / max(error, 1e-9))))


def blended(before: Frames, after: Frames, count: int) -> Frames:
    """Linear interpolation."""
    return [pictures.mixed(before[-1], after[0], (i + 1) / (count + 1)) for i in range(count)]


def guesses(before: Frames, after: Frames, count: int, weights: Sequence[float] = ()) -> dict[str, Frames]:
    """What each method puts between two runs of pictures; ours also with other weights of minterpolate."""
    out = {"hold": [before[-1]] * count}
    out["linear"] = blended(before, after, count) if after else out["hold"]
    moved = minterpolate(before[-2:], after[:2], count) if len(before) > 1 and len(after) > 1 else []
    out["minterpolate"] = moved if len(moved) == count else out["linear"]
    kriged = list(pictures.kriged(before, after, count, FPS))
    shipped = next(w for seconds, w in pictures.MOTION if count / FPS <= seconds) if len(moved) == count else 0.0
    for name, w in ((OURS, shipped), *((f"weight {w:g}", w) for w in weights)):
        out[name] = [pictures.mixed(k, m, w) for k, m in zip(kriged, out["minterpolate"], strict=True)]
    return out


def gaps(test: bool, seconds: float) -> Scores:
    """A hole in the middle of each clip."""
    scores: Scores = {}
    for path in clips(test):
        frames, count = film(path), round(seconds * FPS)
        first = (len(frames) - count) // 2
        if first < 8:
            continue
        before, after = frames[:first], frames[first + count :]
        for name, made in guesses(before, after, count, () if test else (0, 0.3, 0.5, 0.7, 1)).items():
            scores.setdefault(name, []).append(psnr(made, frames[first : first + count]))
    return scores


def blocks(test: bool) -> Scores:
    """Rectangles of black of 12 pictures; found, not told; PSNR over the rectangle."""
    scores: Scores = {}
    for path in clips(test):
        frames = film(path)
        rng = np.random.default_rng(len(frames))
        first, count = len(frames) // 2 - 6, 12
        y, x = (16 * int(rng.integers(1, n)) for n in (SIZE[1] // 16 - 4, SIZE[0] // 16 - 6))
        hurt = [f.copy() for f in frames]
        for f in hurt[first : first + count]:
            f[y : y + 48, x : x + 80] = 0
        with tempfile.TemporaryDirectory() as folder:
            file = streams.film(Path(folder) / "x.mkv", hurt, FPS)
            seen = film(file)
            masks = seeing.look(read_marks(file), len(frames) / FPS)[1]
        box = (slice(y, y + 48), slice(x, x + 80))
        for name, made in guesses(seen[:first], seen[first + count :], count).items():
            if name == OURS:
                ticks = {round(t * FPS): m for t, m in masks.items()}
                full = [np.kron(ticks[k], np.ones((16, 16), bool)) if k in ticks else None for k in range(len(frames))]
                made = [
                    g if (m := full[first + i]) is not None and m[box].mean() > 0.5 else seen[first + i]
                    for i, g in enumerate(made)
                ]
            parts = [m[box] for m in made], [f[box] for f in frames[first : first + count]]
            scores.setdefault(name, []).append(psnr(*parts))
        scores.setdefault("as it is", []).append(
            psnr([f[box] for f in seen[first : first + count]], [f[box] for f in frames[first : first + count]])
        )
    return scores


def damaged_film(test: bool, harm: Callable[[list[bytes], np.random.Generator], list[bytes | None]]) -> Scores:
    """A stream whose packets were harmed: as FFmpeg conceals it, and as we do; damage is found, not told."""
    scores: Scores = {}
    for index, path in enumerate(clips(test)):
        frames = film(path)
        with tempfile.TemporaryDirectory() as folder:
            whole = streams.film(Path(folder) / "whole.mkv", frames, FPS)
            file = streams.harmed(whole, Path(folder) / "hurt.mkv", harm, np.random.default_rng(index))
            true, seen = film(whole), film(file)
            found = seeing.look(read_marks(file), len(frames) / FPS)[0]
        seen += [seen[-1]] * (len(true) - len(seen))
        seen = seen[: len(true)]
        changed = [
            k for k, (a, b) in enumerate(zip(seen, true, strict=True)) if np.abs(a.astype(int) - b).mean() > 0.05
        ]
        if not changed:
            continue
        for name, made in _concealed(seen, found, test).items():
            scores.setdefault(name, []).append(psnr([made[k] for k in changed], [true[k] for k in changed]))
    return scores


def _concealed(seen: Frames, found: list[Damage], test: bool) -> dict[str, Frames]:
    """The whole film by each method; the baselines fill whatever was found, ours what is lost."""
    ticks = (np.arange(len(seen)) + 0.5) / FPS
    flags = {
        kind: np.any([(ticks >= d.start) & (ticks < d.end) for d in found if d.kind == kind] or [ticks < 0], 0)
        for kind in (LOST, CORRUPT)
    }
    whole = _replaced(seen, flags[LOST] | flags[CORRUPT], ("hold", "linear", "minterpolate", OURS))
    every = whole.pop(OURS)
    out = {"FFmpeg": seen, **whole}
    lost = _replaced(seen, flags[LOST], (OURS,))[OURS] if flags[CORRUPT].any() else every
    out[OURS] = lost
    if not test:
        for w in (0.25, 0.5, 0.75):
            out[f"concealed {w:g}"] = [pictures.mixed(e, s, w) for e, s in zip(every, lost, strict=True)]
        out["concealed 0"] = every
    return out


def _replaced(seen: Frames, flags: NDArray[np.bool_], names: Sequence[str]) -> dict[str, Frames]:
    """The film with each run of flagged pictures filled by each of some methods."""
    out = {name: list(seen) for name in names}
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]))).reshape(-1, 2)
    for first, last in edges:
        if not first:
            continue
        before = [seen[k] for k in range(max(0, first - 8), first) if not flags[k]]
        after = [seen[k] for k in range(last, min(len(seen), last + 8)) if not flags[k]]
        for name, made in guesses(before, after, int(last - first)).items():
            if name in out:
                out[name][first:last] = made
    return out


def recording(path: Path) -> NDArray[np.float32]:
    """Eight seconds of a recording, (T, 2) at RATE."""
    return np.concatenate(list(read_sound(path, RATE, 2, 0, 8)))


def log_mel(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """64 bands in dB, floor -100, of the mono mix at 24 kHz: window 1024, hop 256."""
    mono = sound.mean(1).reshape(-1, 2).mean(1) if len(sound) % 2 == 0 else log_odd(sound)
    mel = 700 * np.expm1(np.linspace(0, np.log1p(12_000 / 700), 66))
    hertz = np.arange(513) * 24_000 / 1024
    bank = np.stack([np.interp(hertz, mel[i : i + 3], [0, 1, 0]) for i in range(64)])
    window = np.hanning(1025)[:1024]
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(mono, 512), 1024)[::256] * window
    return np.asarray(
        10 * np.log10(np.maximum(np.abs(np.fft.rfft(frames)) ** 2 @ bank.T / (window.sum() / 2) ** 2, 1e-10))
    )


def log_odd(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mono mix at half the rate, of an odd number of samples."""
    return np.asarray(sound[:-1].mean(1).reshape(-1, 2).mean(1), np.float32)


def mel_distance(made: NDArray[np.float32], true: NDArray[np.float32], hurt: NDArray[np.bool_]) -> float:
    """Mean absolute difference in dB over the frames that damage touches; hurt: (T,)."""
    n = min(len(made), len(true)) // 2 * 2
    error = np.abs(log_mel(made[:n]) - log_mel(true[:n])).mean(1)
    near = np.convolve(hurt[:n], np.ones(2048), "same")[::512] > 0.5
    both = min(len(near), len(error))
    return float(error[:both][near[:both]].mean()) if near[:both].any() else float("nan")


def holes(test: bool, seconds: float) -> Scores:
    """A hole in the middle of each recording."""
    scores: Scores = {}
    for path in clips(test, "sounds/"):
        true, count = recording(path), round(seconds * RATE)
        first = (len(true) - count) // 2
        if first < RATE:
            continue
        before, after = true[:first], true[first + count :]
        hurt = np.zeros(len(true), bool)
        hurt[first : first + count] = True
        fills = {
            "silence": np.zeros((count, 2), np.float32),
            "repeat": np.resize(before[-min(first, count) :], (count, 2)),
            OURS: sounds.filled(before, after, count, RATE),
        }
        for name, fill in fills.items():
            scores.setdefault(name, []).append(mel_distance(np.concatenate([before, fill, after]), true, hurt))
    return scores


def clicked(test: bool) -> Scores:
    """Forty clicks of up to half a millisecond, found, not told."""
    scores: Scores = {}
    for index, path in enumerate(clips(test, "sounds/")):
        true, rng = recording(path), np.random.default_rng(index)
        made, hurt = true.copy(), np.zeros(len(true), bool)
        for at in np.sort(rng.choice(len(true) // 4000 - 2, 40, replace=False) * 4000 + 3000):
            width = int(rng.integers(1, 24))
            made[at : at + width] = rng.uniform(-0.8, 0.8, (width, 1))
            hurt[at : at + width] = True
        spans = [(max(0, a - 1), b + 1) for a, b in listening.clicks(made, RATE)]
        tried = {"as it is": made, "adeclick": streams.adeclick(made, RATE), OURS: sounds.predicted(made, spans)}
        for name, sound in tried.items():
            scores.setdefault(name, []).append(mel_distance(sound, true, hurt))
    return scores


def opus(test: bool, harm: Callable[[list[bytes], np.random.Generator], list[bytes | None]]) -> Scores:
    """An Opus stream whose packets were harmed: as FFmpeg decodes it, repeating, and ours."""
    scores: Scores = {}
    for index, path in enumerate(clips(test, "sounds/")):
        with tempfile.TemporaryDirectory() as folder:
            whole = streams.opus(Path(folder) / "whole.mkv", recording(path), RATE)
            file = streams.harmed(whole, Path(folder) / "hurt.mkv", harm, np.random.default_rng(index))
            true = np.concatenate(list(read_sound(whole, RATE, 2)))
            marks = list(read_marks(file, 0))
            plain = np.concatenate(list(read_sound(file, RATE, 2, max_gap=tight(marks))))
            found = listening.look(marks, [plain], RATE)
        plain = np.pad(plain, ((0, max(0, len(true) - len(plain))), (0, 0)))[: len(true)]
        hurt = np.abs(plain - true).max(1) > 0.003
        if not hurt.any():
            continue
        ours, repeat = plain.copy(), plain.copy()
        for d in sorted(found, key=lambda d: d.start):
            a, b = round(d.start * RATE), min(round(d.end * RATE), len(true))
            if d.kind in (LOST, "drop-out") and a > 0:
                later = min([round(x.start * RATE) for x in found if round(x.start * RATE) >= b] or [len(true)])
                ours[a:b] = sounds.filled(ours[max(0, a - RATE) : a], ours[b : min(later, b + RATE)], b - a, RATE, a)
                repeat[a:b] = np.resize(repeat[max(0, a - (b - a)) : a], (b - a, 2))
        for name, sound in (("FFmpeg", plain), ("repeat", repeat), (OURS, ours)):
            scores.setdefault(name, []).append(mel_distance(sound, true, hurt))
    return scores


def bit_figures(generator: Generator) -> Iterator[Figure]:
    """Bits of unseen Dreamscapes, flipped at known and at unknown rates, beside the one-shot denoiser."""
    true = [{n: clip(i, seed=SEED, segments=1, rendered=False).bits[n] for n in LANES} for i in range(DREAMS)]
    shapes = {n: generator.streams[n] for n in LANES}
    ratios, drawn_tokens, tokens, off = [], [], [], []
    for rate in (0.01, 0.03, 0.1, 0.2, 0.3):
        wrong = {k: 0.0 for k in ("ours", "signs", "eight steps")}
        right = {k: 0.0 for k in ("ours", "draw")}
        for index, clean in enumerate(true):
            rng = torch.Generator().manual_seed(index)
            x0 = pack({n: torch.from_numpy(b) for n, b in clean.items()})
            x = torch.where(torch.rand(x0.shape, generator=rng) < rate, -x0, x0)
            rotten = {n: b.numpy() for n, b in unpack(x, shapes).items()}
            found = bits.estimate(generator, rotten)
            flips = {n: float((rotten[n] != clean[n]).mean()) for n in LANES}
            total = sum(b.size for b in clean.values())
            share = [
                sum(v[n] * clean[n].size for n in LANES) / total
                for v in ({n: float(found[n][0]) for n in LANES}, flips)
            ]
            off.append((rate, abs(share[0] / share[1] - 1)))
            undone = bits.undo(generator, rotten, found)
            denoise = generator.denoiser({}, shapes)
            start = torch.full(x0.shape, bits.staleness(rate), dtype=torch.float64)
            eta = denoise(x, start)
            draw = torch.where(torch.rand(eta.shape, generator=rng, dtype=torch.float64) < eta, 1, -1)
            wrong["signs"] += float((torch.where(eta > 0.5, 1, -1) != x0).sum())
            wrong["ours"] += sum(float((undone[n] != clean[n]).sum()) for n in LANES)
            for step in ancestral(denoise, x, start, 8, [rng]):
                last = step.bits
            wrong["eight steps"] += float((last != x0).sum())
            right["draw"] += _right(unpack(draw, shapes), clean)
            right["ours"] += _right({n: torch.from_numpy(b) for n, b in undone.items()}, clean)
        ratios.append(wrong["ours"] / wrong["signs"])
        tokens.append(right["ours"] / len(true))
        drawn_tokens.append(right["draw"] / len(true))
        yield Figure(f"bit_error_ratio_to_one_shot_{rate:g}", ratios[-1], "1", "1.05", "lower")
        yield Figure(f"bit_error_ratio_eight_steps_{rate:g}", wrong["eight steps"] / wrong["signs"], "1", 1.0, "lower")
        yield Figure(f"right_tokens_{rate:g}", tokens[-1], "1", drawn_tokens[-1], "higher")
        yield Figure(
            f"rate_error_median_{rate:g}", float(np.median([e for r, e in off if r == rate])), "1", 0.2, "lower"
        )
        yield Figure(f"rate_error_worst_{rate:g}", float(np.max([e for r, e in off if r == rate])), "1", 0.2, "lower")
    yield Figure("bit_error_ratio_to_one_shot", float(np.mean(ratios)), "1", 1.05, "lower")
    yield Figure("right_tokens_minus_one_shot_draw", float(np.mean(tokens) - np.mean(drawn_tokens)), "1", 0.0, "higher")


def _right(made: dict[str, torch.Tensor], true: dict[str, NDArray[np.int8]]) -> float:
    """Share of wholly right tokens."""
    whole = [(made[n] == torch.from_numpy(b)).all(-1).float().flatten() for n, b in true.items()]
    return float(torch.cat(whole).mean())


def lost_figures(generator: Generator) -> Iterator[Figure]:
    """One of touch, smell, taste lost from a Dreamscape whose scene is not known, beside the mean of all."""
    means = {}
    others = [clip(i, seed=SEED + 1, segments=1, rendered=False).bits for i in range(48)]
    for name in ("touch", "smell", "taste"):
        means[name] = np.mean([_unit(name, b) for b in others], 0)
    scores: dict[str, list[tuple[float, float]]] = {}
    for index in range(DREAMS // 2):
        dream = clip(index, seed=SEED, segments=1, rendered=True)
        for name in means:
            wanted = tuple(s.name for s in SENSES[name].streams)
            known = {
                n: torch.from_numpy(b)
                for n, b in dream.bits.items()
                if n in generator.streams and n not in (*wanted, *HIDDEN)
            }
            rng = torch.Generator().manual_seed(index)
            for _, out in generator.segment(known, wanted, {}, "", 16, 1.0, rng, {}, {}):
                last = out
            true = _unit(name, dream.bits)
            made = _unit(name, {n: last[n].numpy() for n in wanted})
            error = [float(np.mean((guess - true) ** 2)) for guess in (made, means[name])]
            scores.setdefault(name, []).append((error[0], error[1]))
    for name, errors in scores.items():
        ours, theirs = (10 * np.log10(1 / np.mean(e)) for e in zip(*errors, strict=True))
        yield Figure(
            f"psnr_minus_best_baseline_db_lost_{name}", float(ours - theirs), "dB", f"mean {theirs:.2f} dB", "higher"
        )


def _unit(name: str, coded: dict[str, NDArray[np.int8]]) -> NDArray[np.float64]:
    """The values of a lane, each channel about [0, 1]."""
    from stale_diffusion.senses.touch import to_unit

    values = SENSES[name].decode({s.name: coded[s.name] for s in SENSES[name].streams})
    return np.asarray(to_unit(values) if name == "touch" else values, np.float64)


def compared(kind: str, run: Callable[[bool], Scores], *, mel: bool = False) -> Iterator[Figure]:
    """What is best on validation clips, printed; then ours beside the best baseline on the test clips."""
    sign = -1 if mel else 1
    tried = {n: sign * float(np.nanmean(v)) for n, v in run(False).items()}
    print(
        f"{kind:18} validation",
        {n: round(sign * v, 2) for n, v in tried.items()},
        "best",
        max(tried, key=tried.__getitem__) if tried else "none",
        flush=True,
    )
    scores = run(True)
    means = {n: float(np.nanmean(v)) for n, v in scores.items()}
    print(
        f"{kind:18} test      ",
        {n: round(v, 2) for n, v in means.items()},
        f"{len(scores.get(OURS, []))} clips",
        flush=True,
    )
    rest = {n: sign * v for n, v in means.items() if n != OURS}
    if not rest:
        return
    best = max(rest, key=rest.__getitem__)
    name = "mel_minus_best_baseline_db" if mel else "psnr_minus_best_baseline_db"
    yield Figure(
        f"{name}_{kind}", means[OURS] - means[best], "dB", f"{best} {means[best]:.2f} dB", "lower" if mel else "higher"
    )


def films(kind: str, harm: Callable[[float], streams.Harm], rates: Sequence[float]) -> Iterator[Figure]:
    """H.264 harmed at some rates."""
    for rate in rates:
        yield from compared(f"{kind}_{rate:g}", partial(damaged_film, harm=harm(rate)))


def heard() -> Iterator[Figure]:
    """Holes and clicks."""
    for seconds in (0.5, 3.0):
        yield from compared(f"hole_{seconds:g}s", partial(holes, seconds=seconds), mel=True)
    yield from compared("clicks", clicked, mel=True)


def opus_streams() -> Iterator[Figure]:
    """Opus, packets lost and bytes flipped."""
    for rate in (0.01, 0.05, 0.2):
        yield from compared(f"opus_packets_{rate:g}", partial(opus, harm=streams.dropping(rate)), mel=True)
    for rate in (1e-6, 1e-5, 1e-4, 1e-3):
        yield from compared(f"opus_flips_{rate:g}", partial(opus, harm=streams.flipping(rate)), mel=True)


def all_gaps() -> Iterator[Figure]:
    """Half a second and three."""
    for seconds in (0.5, 3.0):
        yield from compared(f"gap_{seconds:g}s", partial(gaps, seconds=seconds))


PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    "bits": lambda: bit_figures(load()),
    "gaps": all_gaps,
    "blocks": lambda: compared("blocks", blocks),
    "packets": lambda: films("packets", streams.dropping, (0.01, 0.05, 0.2)),
    "flips": lambda: films("flips", streams.flipping, (1e-6, 1e-5, 1e-4, 1e-3)),
    "sounds": heard,
    "opus": opus_streams,
    "lost": lambda: lost_figures(load()),
}


def merged(figures: list[Figure]) -> list[Figure]:
    """These figures, and those of parts that were run before; the mean over all kinds of picture damage last."""
    path = OUT / "restore.json"
    before = [Figure(**f) for f in json.loads(path.read_text())["figures"]] if path.exists() else []
    new = {f.name for f in figures}
    total = "psnr_minus_best_baseline_db"
    every = [
        f
        for f in before
        if f.name not in new and not f.name.startswith((f"{total}_mean", f"{total}_worst")) and f.name != total
    ]
    every += figures
    kinds = [f.value for f in every if f.name.startswith(f"{total}_") and f.value is not None]
    if kinds:
        every.append(Figure(total, float(np.mean(kinds)), "dB", "mean over kinds of damage", "higher"))
        every.append(Figure(f"{total}_worst", float(np.min(kinds)), "dB", -0.1, "higher"))
    return every


if __name__ == "__main__":
    begun = time.monotonic()
    torch.set_num_threads(1)
    asked = os.environ.get("PART", ",".join(PARTS)).split(",")
    if unknown := [part for part in asked if part not in PARTS]:
        sys.exit(f"{unknown[0]} is no part\nmend: PART={','.join(PARTS)}")
    for part in asked:  # each part is kept as soon as it is there
        report("restore", merged(list(PARTS[part]())), begun)
