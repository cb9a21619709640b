"""The prude: what its owner does not want to see or hear, learnt from examples; one safetensors file.

It judges places and moments (`features`), and, because it has looked at Dreamscapes as well, it knows which scenes it
would refuse: so that a movie can be steered away while it is still bits gone stale.

Shapes: G moments, R, C places, F features, H hidden units, D = 25 * 32 bits of a scene segment, P places of the scene.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor

from stale_diffusion import scene
from stale_diffusion.errors import StaleError
from stale_diffusion.senses.transform import gray_encode
from stale_diffusion.trust.features import HEARING, SIGHT, Floats, Look, codec_digest

FORMAT = "stale-diffusion prude 1"
HEADS = {"sight": SIGHT, "hearing": HEARING}
SEEN = 3  # places whose mean is a moment's score: what is refused is seldom smaller than three of sixty
STEER = 3.0  # weight of the steering, chosen in docs/refuse.md
_FAR = 1e-3  # a scene is never surer to be refused than 1 - this


@dataclass(frozen=True)
class Head:
    """A hinge classifier of one sense: features, standardised, through one hidden layer; refused above 0.

    Args:
        mean, scale: (F,). hidden (F, H), offset (H,), out (H,). threshold: what is taken off.
    """

    mean: Floats
    scale: Floats
    hidden: Floats
    offset: Floats
    out: Floats
    threshold: float

    def score(self, x: Floats) -> Floats:
        """(..., F) -> (...), positive where it is refused."""
        z = np.clip((x - self.mean) / self.scale, -6, 6) @ self.hidden + self.offset
        return np.asarray(np.maximum(z, 0) @ self.out - self.threshold, np.float32)


def moment_scores(places_GRC: Floats) -> Floats:
    """Scores of places -> scores of moments (G,): the mean of the SEEN highest."""
    flat = np.sort(places_GRC.reshape(len(places_GRC), -1), 1)
    return np.asarray(flat[:, -SEEN:].mean(1), np.float32)


def steadied(scores_G: Floats) -> Floats:
    """Mean of each moment and its neighbours, (G,): nothing is refused for a flicker."""
    padded = np.pad(scores_G, 1, mode="edge")
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3, np.float32)


Raw = dict[str, Floats]
"""Scores of sight (G, R, C) and of hearing (G,)."""


@dataclass(frozen=True)
class Verdict:
    """What a prude says of a movie, moment by moment.

    Args:
        scores: {sense: (G,)}, refused above 0.
        places: (G, R, C), refused above 0; None where there is no picture.
    """

    scores: dict[str, Floats]
    places: Floats | None

    @property
    def refused(self) -> NDArray[np.bool_]:
        """(G,) which moments."""
        return np.asarray(np.any([s > 0 for s in self.scores.values()], 0))

    @property
    def worst(self) -> float:
        """The highest score of all."""
        return max(float(s.max()) for s in self.scores.values())


@dataclass(frozen=True, repr=False)
class Prude:
    """See the module.

    Args:
        heads: {"sight", "hearing"}: one or both.
        place, rest: (P,) and (D,): how surely a scene is refused, in log-odds; None: it cannot steer.
        about: what it was learnt from and how well it does.
        name, digest: of its file.
    """

    heads: dict[str, Head]
    place: Floats | None
    rest: Floats | None
    about: dict[str, Any]
    name: str = ""
    digest: str = field(default="", compare=False)

    def __repr__(self) -> str:
        return f"Prude({self.digest[:16]})"

    def scores(self, look: Look) -> Raw:
        """Scores of some moments, before their neighbours are known.

        Raises:
            StaleError: the movie has none of the senses that this prude knows.
        """
        found = {n: x for n, x in (("sight", look.sight), ("hearing", look.hearing)) if x is not None}
        if not found.keys() & self.heads.keys():
            why = f"it was learnt by {', '.join(self.heads)}; the movie has {', '.join(found) or 'neither'}"
            raise StaleError(f"{self.name or 'This prude'} cannot judge this movie.", why, "learn one from such clips")
        return {n: head.score(found[n]) for n, head in self.heads.items() if n in found}

    def judge(self, looks: Iterable[Look]) -> Verdict:
        """What is refused of what was seen and heard, segment by segment."""
        raws = [self.scores(look) for look in looks]
        whole = {n: np.concatenate([r[n] for r in raws]) for n in raws[0]}
        places = whole.get("sight")
        moments = {n: steadied(moment_scores(x) if n == "sight" else x) for n, x in whole.items()}
        return Verdict(moments, places)

    def refusals(self, m_D: Tensor) -> tuple[Tensor, Tensor]:
        """How surely a scene with independent bits of means m is refused, were each bit +1 and were it -1, (2, D).

        The place is a code of four bits, so its law is a product over them; the rest enters by its mean.
        """
        assert self.place is not None and self.rest is not None
        codes_PJ = torch.from_numpy(_codes())
        place = torch.from_numpy(self.place).double()[torch.arange(len(codes_PJ)) % len(self.place)]
        rest = torch.from_numpy(self.rest).double()
        m = m_D.double()
        base = place + rest @ m  # (P,)
        free = m[: codes_PJ.shape[1]]
        law = (1 + codes_PJ * free) / 2  # (P, J)
        out = []
        for sign in (1.0, -1.0):
            moved = torch.sigmoid(base[None] + rest[:, None] * (sign - m)[:, None])  # (D, P)
            weights = law.prod(1).expand(len(m), -1).clone()
            for j in range(codes_PJ.shape[1]):
                forced = law.clone()
                forced[:, j] = (1 + codes_PJ[:, j] * sign) / 2
                weights[j] = forced.prod(1)
            out.append((weights * moved).sum(1))
        return out[0], out[1]

    def steer(self, odds_BLD: Tensor, weight: float = STEER) -> Tensor:
        """Log-odds of a scene, moved by how much likelier each bit makes it not to be refused.

        Guidance for discrete states (Nisonoff et al. 2024, Schiff et al. 2024), bits taken as independent.
        """
        if self.place is None:
            return odds_BLD
        moved = []
        for odds in odds_BLD:
            plus, minus = self.refusals(torch.tanh(odds.flatten().double() / 2))
            pull = torch.log((1 - plus).clamp(min=_FAR)) - torch.log((1 - minus).clamp(min=_FAR))
            moved.append((odds.flatten().double() + weight * pull).view(odds.shape))
        return torch.stack(moved).to(odds_BLD.dtype)

    def save(self, path: Path) -> None:
        """Write the file, as PATH.part and then renamed."""
        tensors: dict[str, NDArray[Any]] = {}
        for name, head in self.heads.items():
            for part in ("mean", "scale", "hidden", "offset", "out"):
                tensors[f"{name}.{part}"] = np.ascontiguousarray(getattr(head, part))
            tensors[f"{name}.threshold"] = np.array([head.threshold], np.float32)
        if self.place is not None and self.rest is not None:
            tensors |= {"steer.place": self.place, "steer.rest": self.rest}
        about = {"format": FORMAT, "codec": codec_digest(), "about": json.dumps(self.about, allow_nan=False)}
        half = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(save(tensors, about))
            half.replace(path)
        except OSError as error:
            raise StaleError(f"{path} was not written.", error.strerror or str(error), "check the folder") from None
        finally:
            half.unlink(missing_ok=True)


def load_prude(path: Path) -> Prude:
    """Read a prude.

    Raises:
        StaleError: it is missing, not a prude, or it looked with other codecs.
    """
    again = "stale-diffusion refuse learn --good FOLDER --bad FOLDER -o prude.safetensors"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StaleError(f"{path} cannot be read.", error.strerror or str(error), again, usage=True) from None
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        tensors = load(data)
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
        about = json.loads(header["about"])
        codec = header["codec"]
    except (ValueError, KeyError, TypeError, SafetensorError, UnicodeDecodeError, MemoryError):
        raise StaleError(f"{path} is not a prude.", "no safetensors file with a prude in it", again) from None
    if codec != codec_digest():
        why = f"its codecs are {codec[:12]}, this program's are {codec_digest()[:12]}"
        raise StaleError(f"{path} is a prude of another codec version.", why, f"learn it again: {again}")
    try:
        return _assembled(tensors, about, path.name, hashlib.sha256(data).hexdigest())
    except (KeyError, ValueError, IndexError) as error:
        raise StaleError(f"{path} is a damaged prude.", f"missing or misshapen: {error}", again) from None


def _assembled(tensors: dict[str, NDArray[Any]], about: dict[str, Any], name: str, digest: str) -> Prude:
    heads = {}
    for sense, width in HEADS.items():
        if f"{sense}.mean" not in tensors:
            continue
        parts = {part: tensors[f"{sense}.{part}"] for part in ("mean", "scale", "hidden", "offset", "out")}
        h = len(parts["out"])
        shapes = {"mean": (width,), "scale": (width,), "hidden": (width, h), "offset": (h,), "out": (h,)}
        for part, shape in shapes.items():
            if parts[part].shape != shape or not np.isfinite(parts[part]).all():
                raise ValueError(f"{sense}.{part}")
        heads[sense] = Head(**parts, threshold=float(tensors[f"{sense}.threshold"][0]))
    if not heads:
        raise ValueError("no head")
    place, rest = tensors.get("steer.place"), tensors.get("steer.rest")
    if place is not None and (rest is None or rest.shape != (_bits(),) or place.shape != (len(scene.PLACES),)):
        raise ValueError("steer")
    return Prude(heads, place, rest, about, name, digest)


def _bits() -> int:
    return scene.STREAM.tokens * scene.STREAM.bits


def _codes() -> NDArray[np.float64]:
    """All values of the four bits that name a place, (16, 4) in {-1, +1}; they are the first of a scene's."""
    return gray_encode(np.arange(16), 4).astype(np.float64)
