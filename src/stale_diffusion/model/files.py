"""Where a model lies and what shape it has, without loading it: neither torch nor numpy is needed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from stale_diffusion.errors import StaleError

SHIPPED = "weights/default.safetensors"
SHARED = "model.safetensors"  # in a shared folder
MAX_HEADER = 10_000_000  # bytes
_MEND = "Leave --model out to use the one that ships."


@dataclass(frozen=True)
class ModelFile:
    """A safetensors file with a network in it.

    Args:
        path: the file.
        name: what messages call it.
        shape: arguments of transformer.Shape.
        parameters: numbers in it.
        sha256: what its bytes must hash to; "" where nothing beside it says so.
    """

    path: Traversable
    name: str
    shape: dict[str, Any]
    parameters: int
    sha256: str = ""


def find(source: str | Path | None = None) -> ModelFile:
    """The model that ships (None), a .safetensors file, a shared folder, a hub id, or a run's weight average.

    Raises:
        StaleError: it is missing, or not a model of this program.
    """
    if source is None:
        shipped = files("stale_diffusion") / SHIPPED
        if not shipped.is_file():
            mend = "Install it again, or train one: stale-diffusion train configs/tiny.toml"
            raise StaleError("This installation has no model in it.", f"{SHIPPED} is not in the package.", mend)
        return _described(shipped, "The shipped model")
    path = Path(source)
    if not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and path.suffix != ".safetensors":
        path = _from_hub(str(source))
    if (path / SHARED).is_file():
        return replace(_described(path / SHARED, str(path)), sha256=_shared_hash(path))
    if path.is_dir():
        runs = sorted(p for p in path.glob("step-*") if (p / "state.json").is_file() and p.suffix != ".part")
        if not runs:
            mend = "Leave --model out to use the one that ships, or name the folder of a training."
            raise StaleError(f"There is no model in {path}.", mend=mend, usage=True)
        state = json.loads((runs[-1] / "state.json").read_text())
        found = _described(runs[-1] / "average.safetensors", str(path), state["shape"])
        return replace(found, sha256=state["sha256"]["average.safetensors"])
    if not path.is_file():
        raise StaleError(f"There is no model {path}.", mend=_MEND, usage=True)
    return _described(path, str(path))


def _from_hub(name: str) -> Path:
    """The folder of a model by its hub id, downloaded or from the hub's cache (HF_HUB_OFFLINE=1 asks no network)."""
    mend = "Name a file or a folder, or leave --model out to use the one that ships."
    try:
        from huggingface_hub import snapshot_download
    except ImportError as e:
        why = f"There is no such folder, and to look for {name} on the hub huggingface_hub is needed."
        raise StaleError(f"There is no model {name}.", why, "pip install 'stale-diffusion[hub]'", usage=True) from e
    try:
        return Path(snapshot_download(name, allow_patterns=[SHARED, "config.json", "README.md"]))
    except Exception as e:  # the hub's client has dozens of errors, and each is the same to us
        raise StaleError(f"There is no model {name}, here or on the hub.", str(e).splitlines()[0], mend) from e


def _shared_hash(folder: Path) -> str:
    """What the config of a shared folder says of its weights; nothing where there is none."""
    try:
        return str(json.loads((folder / "config.json").read_text("utf-8")).get("sha256", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _described(path: Traversable, name: str, shape: dict[str, Any] | None = None) -> ModelFile:
    """A file by what its header says."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, MAX_HEADER)))
        about = header.pop("__metadata__", {})
        numbers = sum(_product(tensor["shape"]) for tensor in header.values())
        return ModelFile(path, name, shape or json.loads(about["shape"]), numbers)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        why = "It is not a safetensors file with a network's shape in its header."
        raise StaleError(f"{name} is not a model of this program.", why, _MEND) from e


def _product(shape: list[int]) -> int:
    product = 1
    for n in shape:
        product *= n
    return product
