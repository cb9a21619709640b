"""Fit the sight and hearing codecs: `python -m stale_diffusion.training.fit_codecs CLIPS OUT.safetensors`.

CLIPS holds manifest.csv (file, licence, source_repo, source_path), real/, photo-moves/ and sounds/. Whole recordings
are held out (`held_out`), clips under a share-alike licence are left out, and Dreamscapes and dead leaves are added.
"""

from __future__ import annotations

import csv
import hashlib
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from stale_diffusion import scene
from stale_diffusion.dreamscapes import perform
from stale_diffusion.errors import StaleError
from stale_diffusion.media import probe, read_frames, read_sound
from stale_diffusion.senses import hearing, sight
from stale_diffusion.senses.transform import ClassCode, LevelCode

DREAMS = 8  # segments of each place
LEAVES = 12  # segments of dead leaves
BLOCKS = 50_000  # blocks that the classes are fitted on
CLASSES, ROUNDS = 16, 6
KEPT = 480  # coefficients of a block that are ever coded
SHRINK = 0.85  # share of the sample covariance; the rest is its diagonal: there are few recordings

Frames = NDArray[np.uint8]
Array = NDArray[np.float32]


def manifest(clips: Path) -> list[dict[str, str]]:
    """The rows of CLIPS/manifest.csv."""
    path = clips / "manifest.csv"
    if not path.is_file():
        raise StaleError(f"{path} is missing", "it names each clip's recording and licence", usage=True)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def held_out(row: dict[str, str]) -> bool:
    """True for about one recording in five, all its clips together; these are never fitted or trained on."""
    digest = hashlib.sha256((row["source_repo"] + row["source_path"]).encode()).hexdigest()
    return int(digest, 16) % 5 == 0


def segments(path: Path) -> Iterator[Frames]:
    """The clip as segments of 48 frames; a shorter end is played to and fro to fill one."""
    frames = np.stack(list(read_frames(path, Fraction(sight.FPS), (sight.WIDTH, sight.HEIGHT))))
    for at in range(0, len(frames), 48):
        part = frames[at : at + 48]
        if len(part) >= 24 or at == 0:
            yield np.pad(part, ((0, 48 - len(part)), (0, 0), (0, 0), (0, 0)), mode="symmetric")


def dream(name: str, seed: int) -> tuple[Frames, Array]:
    """One segment of a place: frames (48, 96, 160, 3) and mono sound (96000,)."""
    drawn = perform.place(name).draw(np.random.default_rng(seed), 1)
    stage = scene.Stage(scene.decode(scene.encode(drawn)))
    frames = np.stack([perform.frame(stage, k / sight.FPS, (sight.WIDTH, sight.HEIGHT)) for k in range(48)])
    return frames, perform.sound(stage, 0, hearing.SAMPLES, hearing.RATE).mean(1)


def dead_leaves(rng: np.random.Generator) -> Frames:
    """Discs of falling frequency of size, overlapping, drifting: the statistics of natural images (Lee et al. 2001)."""
    y, x = np.mgrid[: sight.HEIGHT, : sight.WIDTH].astype(np.float32)
    frames = np.empty((48, sight.HEIGHT, sight.WIDTH, 3), np.float32)
    frames[:] = rng.uniform(0, 255, 3)
    drift = rng.normal(0, 0.6, 2)
    for _ in range(250):
        radius = 3 / (1 - rng.uniform(0, 0.95)) ** 0.5 * rng.uniform(1, 4)
        cy, cx = rng.uniform(-20, sight.HEIGHT + 20), rng.uniform(-20, sight.WIDTH + 20)
        speed, colour = drift * rng.uniform(0.5, 2), rng.uniform(0, 255, 3)
        for t in range(48):
            inside = (y - cy - speed[0] * t) ** 2 + (x - cx - speed[1] * t) ** 2 < radius**2
            frames[t][inside] = colour
    return np.asarray(frames, np.uint8)


def gather(clips: Path) -> list[Frames]:
    """All segments to fit the sight codec on, one after another."""
    rows = [r for r in manifest(clips) if r["file"].endswith(".mp4") and not held_out(r) and "SA" not in r["licence"]]
    real = list(chain.from_iterable(segments(clips / r["file"]) for r in rows))
    rng = np.random.default_rng(0)
    dreams = [dream(name, 1000 + i)[0] for name in perform.BUILT for i in range(DREAMS)]
    return real + dreams + [dead_leaves(rng) for _ in range(LEAVES)]


def fit_coarse(movies: list[Frames]) -> tuple[dict[str, NDArray[np.generic]], LevelCode]:
    """Mean and levels of the whole-frame cosines; each movie also mirrored."""
    cosines = np.concatenate([sight.small_picture(sight.analyse(m)) for f in movies for m in (f, f[:, :, ::-1])])
    mean = cosines.mean(0)
    code, kept = LevelCode.fit(cosines - mean, sight.COARSE_BITS)
    return {"sight.coarse.mean": mean.astype(np.float32), "sight.coarse.kept": kept.astype(np.int32)}, code


def residual_blocks(frames: Frames, mean: Array, kept: NDArray[np.int32], code: LevelCode) -> Array:
    """What the coarse code leaves, (360, 3456)."""
    coefficients = sight.analyse(frames)
    cosines = np.repeat(mean[None], sight.GROUPS, 0)
    cosines[:, kept] += code.round(sight.small_picture(coefficients)[:, kept] - mean[kept])
    sight.add_small_picture(coefficients, -cosines)
    return sight.to_blocks(coefficients)


def fit_class(blocks: Array, bits: int, most: int = 170) -> tuple[Array, LevelCode]:
    """The KLT of one class and its levels."""
    covariance = blocks.T @ blocks / len(blocks)
    covariance = SHRINK * covariance + (1 - SHRINK) * np.diag(np.diag(covariance))
    basis = np.linalg.eigh(covariance)[1][:, ::-1].T[:most].astype(np.float16).astype(np.float32)
    code, kept = LevelCode.fit((blocks @ basis.T)[:10_000], bits, 6)
    return basis[kept], code


def fit_fine(blocks: Array, moving: NDArray[np.bool_]) -> ClassCode:
    """Classes, refitted to the blocks that choose them; at first by energy, and by how much of it is motion.

    Args:
        blocks: (N, P).
        moving: (P,), the coefficients that change within a group.
    """
    energy = (blocks**2).sum(1)
    share = (blocks[:, moving] ** 2).sum(1) / np.maximum(energy, 1e-9)
    chosen = np.empty(len(blocks), np.int64)
    columns = CLASSES // 4
    for i, rows in enumerate(np.array_split(np.argsort(energy), 4)):
        for j, part in enumerate(np.array_split(rows[np.argsort(share[rows])], columns)):
            chosen[part] = columns * i + (j if i % 2 == 0 else columns - 1 - j)  # a snake: Gray neighbours are alike
    width = sight.FINE_BITS - (CLASSES - 1).bit_length()
    for turn in range(ROUNDS):
        fitted = [fit_class(blocks[chosen == c], width) for c in range(CLASSES)]
        code = ClassCode(*(tuple(part) for part in zip(*fitted, strict=True)))
        errors = code.errors(blocks)
        chosen = errors.argmin(1)
        print(f"fine, round {turn}: squared error {errors.min(1).mean():.3f} a block", file=sys.stderr)
    return code


def fit_sight(movies: list[Frames]) -> dict[str, NDArray[np.generic]]:
    """All tensors of the sight codec."""
    tensors, coarse = fit_coarse(movies)
    mean, kept = tensors["sight.coarse.mean"].astype(np.float32), tensors["sight.coarse.kept"].astype(np.int32)
    variance = sum((residual_blocks(m, mean, kept, coarse) ** 2).mean(0) for m in movies[::3])
    zone = np.sort(np.argsort(-np.asarray(variance))[:KEPT])
    parity = (1.0 - 2.0 * (zone // 3 % sight.ZONE % 2)).astype(np.float32)  # the sign of a mirrored block
    rng = np.random.default_rng(0)
    share = BLOCKS // len(movies)
    parts = []
    for movie in movies:
        own = residual_blocks(movie, mean, kept, coarse)[:, zone]
        own = own[rng.choice(len(own), min(share, len(own)), replace=False)]
        parts.append(own * np.where(rng.random((len(own), 1)) < 0.5, 1, parity))
    fine = fit_fine(rng.permutation(np.concatenate(parts)), zone // (3 * sight.ZONE**2) > 0)
    return (
        tensors
        | coarse.tensors("sight.coarse")
        | {"sight.fine.zone": zone.astype(np.int32)}
        | fine.tensors("sight.fine")
    )


def sounds(clips: Path) -> Iterator[Array]:
    """All sounds to fit the hearing codec on, in whole tokens."""
    for row in manifest(clips):
        if held_out(row) or "SA" in row["licence"] or row["file"].startswith("photo-moves"):
            continue
        if probe(clips / row["file"]).audio:
            sound = np.concatenate(list(read_sound(clips / row["file"], hearing.RATE, 1)))[:, 0]
            yield sound[: len(sound) // hearing.TOKEN * hearing.TOKEN]


def fit_hearing(recordings: list[Array]) -> dict[str, NDArray[np.generic]]:
    """All tensors of the hearing codec; each recording at two loudnesses, and some silence with edges in it."""
    rng = np.random.default_rng(0)
    parts = []
    for sound in recordings:
        for _ in range(2):
            heard = sound * 10 ** (rng.uniform(-30, 6) / 20)
            start, stop = np.sort(rng.integers(0, len(sound), 2))
            heard[start : min(stop, start + hearing.TOKEN * 3)] = 0
            parts.append(hearing.decibels(hearing.energies(hearing.spectra(heard.astype(np.float32)))))
    patches = np.concatenate([p.reshape(-1, hearing.FRAMES * hearing.BANDS) for p in parts])
    mean = patches.mean(0)
    centred = patches - mean
    basis = np.linalg.eigh(centred.T @ centred)[1][:, ::-1].T.astype(np.float16).astype(np.float32)
    sample = rng.permutation(len(centred))[:20_000]
    code, kept = LevelCode.fit(centred[sample] @ basis[:420].T, hearing.LEVEL_BITS, 8)
    tensors = {"hearing.mean": mean.astype(np.float32), "hearing.basis": basis[kept].astype(np.float16)}
    return tensors | code.tensors("hearing")


def main() -> None:
    """CLIPS OUT.safetensors"""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m stale_diffusion.training.fit_codecs CLIPS OUT.safetensors")
    clips, out = Path(sys.argv[1]), Path(sys.argv[2])
    dreamt = [dream(name, 1000 + i)[1] for name in perform.BUILT for i in range(DREAMS)]
    tensors = fit_sight(gather(clips)) | fit_hearing([*sounds(clips), *dreamt])
    part = out.with_name(out.name + ".part")
    save_file(tensors, part)
    os.replace(part, out)


if __name__ == "__main__":
    main()
