"""Bit rot: how quality falls when bits of the shipped model's weights, or of a movie, flip.

Weights: each of the 16 bits of each float16 flips by itself with probability p. Quality is the bound on held-out
Dreamscapes (bits a segment, always under the same noise) and the share of plots whose sampled scene is of the plot's
place. A draw in which the network no longer gives finite numbers is counted as broken, and is in no mean. At one rate,
the same by kind of bit: sign, exponent, fraction. And at every rate with what a reader could do who knows one number of
the sound model, its largest weight: what is beyond it, or not finite, becomes 0.

Movies: bits of every stream flip in the same way; PSNR of sight and mel distance of hearing are against the source,
real clips whose recording was held out of the fit; held-out Dreamscapes for the rest.

    make bench NAME=rot                     # DRAWS=4 JUDGED=48
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distances import mel_distance, psnr
from movie_bits import Segments, bounds, held_out, ready, sample
from report import OUT, Figure, data_folder, report
from stale_diffusion import scene
from stale_diffusion.media import probe, read_frames, read_sound
from stale_diffusion.model.transformer import Denoiser
from stale_diffusion.model.weights import read_model
from stale_diffusion.senses import SENSES
from stale_diffusion.senses.base import Bits
from stale_diffusion.training import fit_codecs

RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
DRAWS, JUDGED = int(os.environ.get("DRAWS", "4")), int(os.environ.get("JUDGED", "48"))
STEPS = 8  # of the scenes whose place is read
KINDS = {"sign": 1 << 15, "exponent": 0x1F << 10, "fraction": 0x3FF}
KIND_RATE = 1e-3
SOUND_SECONDS = 8


def flip_words(words: NDArray[np.uint16], rate: float, mask: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Words (n,) of 16 bits, each bit of `mask` flipped with probability `rate`."""
    out = words.copy()
    for bit in (b for b in range(16) if mask >> b & 1):
        out ^= (rng.random(len(words), np.float32) < rate).astype(np.uint16) << np.uint16(bit)
    return out


def rotten(
    tensors: Mapping[str, Tensor], rate: float, mask: int, rng: np.random.Generator, largest: float | None
) -> dict[str, Tensor]:
    """Weights in float16 with flipped bits; with `largest`, what is beyond it or not finite becomes 0."""
    out = {}
    for name, tensor in tensors.items():
        words = tensor.to(torch.float16).contiguous().numpy().view(np.uint16).reshape(-1)
        values = torch.from_numpy(flip_words(words, rate, mask, rng).view(np.float16).copy()).float()
        if largest is not None:
            values = torch.where(values.abs() <= largest, values, 0.0)
        out[name] = values.reshape(tensor.shape)
    return out


def flip_bits(bits: Mapping[str, Bits], rate: float, rng: np.random.Generator) -> dict[str, Bits]:
    """Streams of -1/+1 with each bit flipped with probability `rate`."""
    return {n: np.where(rng.random(b.shape) < rate, -b, b).astype(np.int8) for n, b in bits.items()}


def quality(model: Denoiser, true: Segments) -> tuple[float, float]:
    """The bound, bits a segment, and the share of right places; NaN for both where the network is broken."""
    bits = float(torch.stack(list(bounds(model, true, draws=2).values())).sum(0).mean())
    if not np.isfinite(bits):
        return float("nan"), float("nan")
    made = sample(model, true.plots, {"scene": true.shapes["scene"]}, STEPS).bits["scene"]
    ours, theirs = (scene.decode(b.numpy()) for b in (made, true.bits["scene"]))
    return bits, float(np.mean([a.place == b.place for a, b in zip(ours, theirs, strict=True)]))


def of_weights() -> list[Figure]:
    """The shipped model under rot."""
    model, _ = read_model()
    sound = {n: t.clone() for n, t in model.state_dict().items()}
    largest = max(float(t.abs().max()) for t in sound.values())
    true = held_out(JUDGED)
    whole = quality(ready(model), true)
    figures = [
        Figure("bound_whole", whole[0], "bits", None, "lower"),
        Figure("place_whole", whole[1], "1", None, "higher"),
        Figure("largest_weight", largest, "1", None, "lower"),
    ]
    cases = [(f"{rate:g}", rate, 0xFFFF, limit) for rate in RATES for limit in (None, largest)]
    cases += [(f"{KIND_RATE:g}_{kind}", KIND_RATE, mask, None) for kind, mask in KINDS.items()]
    for name, rate, mask, limit in cases:
        rows = []
        for draw in range(DRAWS):
            model.load_state_dict(rotten(sound, rate, mask, np.random.default_rng([draw, round(1e7 * rate)]), limit))
            rows.append(quality(model, true))
        name = f"weights_{name}" + ("_mended" if limit else "")
        print(f"  {name}: {rows}", flush=True)
        figures += _summed(name, rows, whole)
    return figures


def _summed(name: str, rows: list[tuple[float, float]], whole: tuple[float, float]) -> list[Figure]:
    """Means over the draws that are not broken, with standard errors, and how many are."""
    kept = np.array([row for row in rows if np.isfinite(row[0])]).reshape(-1, 2)
    figures = [Figure(f"{name}_broken", 1 - len(kept) / len(rows), "1", 0.0, "lower")]
    for column, (what, unit, better) in enumerate((("bound", "bits", "lower"), ("place", "1", "higher"))):
        values = kept[:, column]
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        mean = values.mean() if len(values) else float("nan")
        figures.append(Figure(f"{name}_{what}", float(mean), unit, whole[column], better))  # type: ignore[arg-type]
        figures.append(Figure(f"{name}_{what}_se", float(error), unit, None, "lower"))
    return figures


def of_movies() -> list[Figure]:
    """The codecs under rot: means over clips and draws, standard errors over draws."""
    sight, hearing = _sources()
    true = {n: b.numpy() for n, b in held_out(JUDGED).bits.items()}
    places = [s.place for s in scene.decode(true["scene"])]

    def seen(bits: dict[str, Bits], k: int) -> float:
        return psnr(sight[k][0], SENSES["sight"].decode(bits))

    def heard(bits: dict[str, Bits], k: int) -> float:
        return mel_distance(hearing[k][0], SENSES["hearing"].decode(bits)[: len(hearing[k][0])])

    figures = []
    for rate in (0.0, *RATES, 1e-1):
        rows = []
        for draw in range(DRAWS if rate else 1):
            rng = np.random.default_rng([draw, round(1e7 * rate)])
            means = [_mean(bits_of, judge, rate, rng) for bits_of, judge in ((sight, seen), (hearing, heard))]
            rotten_scene = scene.decode(flip_bits({"scene": true["scene"]}, rate, rng)["scene"])
            means.append(float(np.mean([s.place == p for s, p in zip(rotten_scene, places, strict=True)])))
            means += [_felt(true, sense, rate, rng) for sense in ("smell", "taste")]
            rows.append(means)
        print(f"  movies {rate:g}: {np.mean(rows, 0)}", flush=True)
        names = (("psnr", "dB"), ("mel_distance", "dB"), ("place", "1"), ("smell_error", "1"), ("taste_error", "1"))
        for (name, unit), values in zip(names, np.array(rows).T, strict=True):
            better = "higher" if name in ("psnr", "place") else "lower"
            error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
            figures.append(Figure(f"movies_{rate:g}_{name}", float(values.mean()), unit, None, better))  # type: ignore[arg-type]
            figures.append(Figure(f"movies_{rate:g}_{name}_se", float(error), unit, None, "lower"))
    return figures


Source = tuple[NDArray[np.uint8] | NDArray[np.float32], dict[str, Bits]]


def _mean(
    sources: list[Source], judge: Callable[[dict[str, Bits], int], float], rate: float, rng: np.random.Generator
) -> float:
    return float(np.mean([judge(flip_bits(bits, rate, rng), k) for k, (_, bits) in enumerate(sources)]))


def _felt(true: Mapping[str, Bits], sense: str, rate: float, rng: np.random.Generator) -> float:
    """Mean absolute error of a lane of 0..1 beside the lane of the bits as they were."""
    streams = {s.name: true[s.name] for s in SENSES[sense].streams}
    before, after = (SENSES[sense].decode(b) for b in (streams, flip_bits(streams, rate, rng)))
    return float(np.abs(before - after).mean())


def _sources() -> tuple[list[Source], list[Source]]:
    """Real clips held out of the fit, (frames or sound, its bits)."""
    clips = data_folder() / "clips"
    rows = [row for row in fit_codecs.manifest(clips) if fit_codecs.held_out(row)]
    sight, hearing = SENSES["sight"], SENSES["hearing"]
    seen: list[Source] = []
    heard: list[Source] = []
    for row in rows:
        path = clips / row["file"]
        if row["file"].startswith("real/"):
            frames = np.stack(list(read_frames(path, Fraction(12), (160, 96), seconds=4)))
            if len(frames) >= sight.samples:
                seen.append((frames[: sight.samples], sight.encode(frames[: sight.samples])))
        elif row["file"].startswith("sounds/") and probe(path).audio:
            rate = int(hearing.rate)
            sound = np.concatenate(list(read_sound(path, rate, 1)))[: SOUND_SECONDS * rate, 0]
            heard.append((sound, hearing.encode(np.pad(sound, (0, -len(sound) % hearing.samples)))))
    print(f"  {len(seen)} clips, {len(heard)} recordings", flush=True)
    return seen, heard


def picture(found: Mapping[str, float], path: Path) -> None:
    """Four panels over the rate of flips: the model's bound and place, a movie's picture and sound."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 4, figsize=(14, 3.4), constrained_layout=True)
    for panel, what in zip(panels, ("bound", "place"), strict=False):
        for more, label in (("", "as it is"), ("_mended", "impossible weights become 0")):
            y = [found[f"weights_{rate:g}{more}_{what}"] for rate in RATES]
            error = [found[f"weights_{rate:g}{more}_{what}_se"] for rate in RATES]
            panel.errorbar(RATES, y, error, marker="o", capsize=3, label=label)
        panel.axhline(found[f"{what}_whole"], color="black", linewidth=0.8, linestyle=":")
    panels[0].set(title="weights: bits a segment", yscale="log")
    panels[0].legend(fontsize=8)
    panels[1].set(title="weights: share of right places", ylim=(0, 1.05))
    rates, words = (*RATES, 1e-1), ("sight: PSNR, dB", "hearing: mel distance, dB")
    for panel, what, title in zip(panels[2:], ("psnr", "mel_distance"), words, strict=True):
        y, error = ([found[f"movies_{r:g}_{what}{more}"] for r in rates] for more in ("", "_se"))
        panel.errorbar(rates, y, error, marker="o", capsize=3, color="tab:green")
        panel.axhline(found[f"movies_0_{what}"], color="black", linewidth=0.8, linestyle=":")
        panel.set(title=f"movie bits, {title}")
    for panel in panels:
        panel.set(xscale="log", xlabel="share of bits flipped")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Both, drawn and reported."""
    started = time.monotonic()
    torch.set_num_threads(1)
    figures = [*of_movies(), *of_weights()]
    picture({f.name: f.value for f in figures}, OUT / "rot.png")
    report("rot", figures, started)


if __name__ == "__main__":
    main()
