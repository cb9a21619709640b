"""Models on disk: one safetensors file with the network's shape in its header, or the folder of a training run."""

from __future__ import annotations

import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stale_diffusion.errors import StaleError
from stale_diffusion.model.transformer import Denoiser, Shape

SHIPPED = "weights/default.safetensors"
SHARED = "model.safetensors"  # in a shared folder


def write_model(tensors: dict[str, Tensor], shape: dict[str, Any], path: Path, about: dict[str, str]) -> None:
    """Write weights in float16 with their shape and a few words about them into one file."""
    half = {name: t.to(torch.float16).contiguous() for name, t in tensors.items()}
    part = path.with_name(path.name + ".part")
    part.write_bytes(save(half, {"shape": json.dumps(shape), **about}))
    part.replace(path)


def read_model(source: str | Path | None = None) -> tuple[Denoiser, str]:
    """The denoiser and the sha256 of its file: the one that ships, a .safetensors file, or a run's weight average.

    Raises:
        StaleError: it is missing, damaged, or not a model of this program.
    """
    if source is None:
        shipped = files("stale_diffusion") / SHIPPED
        if not shipped.is_file():
            mend = "Install it again, or train one: stale-diffusion train configs/tiny.toml"
            raise StaleError("This installation has no model in it.", f"{SHIPPED} is not in the package.", mend)
        return _from_bytes(shipped.read_bytes(), "The shipped model")
    path = Path(source)
    if not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and path.suffix != ".safetensors":
        path = _from_hub(str(source))
    if (path / SHARED).is_file():
        return _from_bytes((path / SHARED).read_bytes(), str(path))
    if path.is_dir():
        runs = sorted(p for p in path.glob("step-*") if (p / "state.json").is_file() and p.suffix != ".part")
        if not runs:
            mend = "Leave --model out to use the one that ships, or name the folder of a training."
            raise StaleError(f"There is no model in {path}.", mend=mend, usage=True)
        data = (runs[-1] / "average.safetensors").read_bytes()
        return _built(data, json.loads((runs[-1] / "state.json").read_text())["shape"], str(path))
    if not path.is_file():
        raise StaleError(f"There is no model {path}.", mend="Leave --model out to use the one that ships.", usage=True)
    return _from_bytes(path.read_bytes(), str(path))


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


def share(model: Denoiser, folder: Path, about: dict[str, str]) -> None:
    """Write a model as a folder that others load by its path or, uploaded, by hub id: weights, config and card."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = model.shape.to_json()
    write_model(model.state_dict(), shape, folder / SHARED, about)
    sha = hashlib.sha256((folder / SHARED).read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps({"shape": shape, "sha256": sha} | about, indent=1) + "\n")
    lines = "".join(f"- {key}: {value}\n" for key, value in about.items())
    licence = about.get("licence", "other").lower()
    card = f"---\nlibrary_name: stale-diffusion\nlicense: {licence}\n---\n\n# {folder.name}\n\n{lines}\n"
    use = f'```sh\nstale-diffusion generate "a campfire at night" -o fire.mkv --model {folder.name}\n```\n'
    (folder / "README.md").write_text(card + use)


def _from_bytes(data: bytes, name: str) -> tuple[Denoiser, str]:
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return _built(data, json.loads(header["__metadata__"]["shape"]), name)
    except (ValueError, KeyError) as e:
        mend = "Leave --model out to use the one that ships."
        why = "It is not a safetensors file with a network's shape in its header."
        raise StaleError(f"{name} is not a model of this program.", why, mend) from e


def _built(data: bytes, shape: dict[str, Any], name: str) -> tuple[Denoiser, str]:
    try:
        model = Denoiser(Shape(**shape))
        model.load_state_dict({_renamed(k): v.float() for k, v in load(data).items()})
    except (RuntimeError, TypeError, SafetensorError) as e:
        why = str(e).splitlines()[0]
        raise StaleError(f"{name} does not fit this program.", why, "Use the version that made it.") from e
    return model, hashlib.sha256(data).hexdigest()


def _renamed(name: str) -> str:
    """Version 0.1 kept a block's attention in the block itself."""
    for part in ("qkv", "out"):
        name = re.sub(rf"^(blocks\.\d+)\.{part}\.", rf"\1.attention.{part}.", name)
    return name
