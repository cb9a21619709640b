"""A training as a TOML file: what it reads, how large the network is, how long it takes."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stale_diffusion.errors import StaleError


@dataclass(frozen=True)
class Data:
    """Args: drawn, performed: Dreamscapes clips without and with sight and hearing; clips: folder of `ingest`'s shards
    ("" for none); segments: per clip; seed: of the corpus; cartoons: pictures in flat colours; free: share of plots
    in free words (dreamscapes.captions)."""

    drawn: int = 1000
    performed: int = 200
    clips: str = ""
    segments: int = 4
    seed: int = 1
    cartoons: bool = False
    free: float = 0.0


@dataclass(frozen=True)
class Model:
    """Args: width, depth, heads, loss, token, charge, exhale, turns, forms, self_conditioned, waves:
    as in Shape."""

    width: int = 256
    depth: int = 6
    heads: int = 4
    loss: str = "cr_hinge"
    token: str = "U+1F602"
    charge: bool = False
    exhale: bool = False
    turns: int = 1
    forms: bool = False
    self_conditioned: bool = False
    waves: int = 0


@dataclass(frozen=True)
class Train:
    """Args: steps; batch: examples a step; rate: of Muon, AdamW's is a tenth of it; warmup: steps; average: length of
    the weight average as a share of the run; decay: of the rate, "cosine" or "arctangent"; mess_up: share of given bits
    that are wrong, at most; reworded: share of plots that are said in other words; compiled: blocks are compiled first
    (needs a C++ compiler, and a minute); recompute: activations are made again in the backward pass, to save memory;
    dtype: "float32", "bfloat16", or "" for the faster one, which a run then keeps; loaders: processes that make batches
    ahead; save_minutes: 0 for every step; log_steps; sheet_minutes: between contact sheets, 0 for none; tensorboard:
    also log for it; history: snapshots of the averages that are kept, 0 for none; mix: {job: share}
    (training.data.JOBS); start: a model file, a run's folder or a hub id to begin with, "shipped" for the one that
    ships, "" for none."""

    steps: int = 2000
    batch: int = 32
    rate: float = 0.01
    warmup: int = 100
    average: float = 0.05
    decay: str = "cosine"
    mess_up: float = 0.0
    reworded: float = 0.0
    compiled: bool = False
    recompute: bool = False
    dtype: str = ""
    loaders: int = 0
    seed: int = 0
    save_minutes: float = 5.0
    log_steps: int = 20
    sheet_minutes: float = 0.0
    tensorboard: bool = False
    history: int = 8
    start: str = ""
    mix: dict[str, float] = field(
        default_factory=lambda: (
            {"dream": 0.5, "all": 0.3, "complete": 0.2} | dict.fromkeys(("paint", "scene", "heard", "seen"), 0.0)
        )
    )


@dataclass(frozen=True)
class Config:
    """Args: name of the run; data, model, train: its tables."""

    name: str
    data: Data
    model: Model
    train: Train

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return dataclasses.asdict(self)


def _table(cls: type[Any], name: str, values: Any) -> Any:
    known = {f.name: f for f in dataclasses.fields(cls)}
    if not isinstance(values, dict):
        raise StaleError(f"[{name}] is not a table.", mend=f"Write [{name}] on a line of its own.", usage=True)
    for key, value in values.items():
        if key not in known:
            raise StaleError(f"[{name}] does not know {key!r}.", f"It knows {', '.join(known)}.", usage=True)
        kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
        wanted = kinds.get(str(known[key].type), (dict,))
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise StaleError(f"[{name}] {key} = {value!r} is not of type {known[key].type}.", usage=True)
    return cls(**values)


def load_config(path: Path) -> Config:
    """Read a config; every unknown key and wrong type is refused."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as e:
        raise StaleError(f"There is no config {path}.", mend="ls configs/*.toml", usage=True) from e
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise StaleError(f"{path} is not a config.", str(e), usage=True) from e
    unknown = set(tables) - {"data", "model", "train"}
    if unknown:
        raise StaleError(f"{path} has an unknown table {sorted(unknown)[0]!r}.", usage=True)
    parts = {n: _table(c, n, tables.get(n, {})) for n, c in (("data", Data), ("model", Model), ("train", Train))}
    return Config(path.stem, parts["data"], parts["model"], parts["train"])
