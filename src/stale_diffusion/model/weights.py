"""Models read and written: one safetensors file with the network's shape in its header."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stale_diffusion.errors import StaleError
from stale_diffusion.model.files import SHARED, find
from stale_diffusion.model.transformer import Denoiser, Shape


def write_model(tensors: dict[str, Tensor], shape: dict[str, Any], path: Path, about: dict[str, str]) -> None:
    """Write weights in float16 with their shape and a few words about them into one file."""
    half = {name: t.to(torch.float16).contiguous() for name, t in tensors.items()}
    part = path.with_name(path.name + ".part")
    part.write_bytes(save(half, {"shape": json.dumps(shape), **about}))
    part.replace(path)


def read_model(source: str | Path | None = None) -> tuple[Denoiser, str]:
    """The denoiser and the sha256 of its file; see files.find for what a source may be.

    Raises:
        StaleError: it is missing, damaged, or not a model of this program.
    """
    found = find(source)
    data = found.path.read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    if found.sha256 not in ("", sha):
        why = f"The bytes of {found.path.name} are not those that were saved: bit rot, or another hand."
        mend = f"Copy or download it again; if it is a training's: stale-diffusion resume {found.name}"
        raise StaleError(f"The model in {found.name} is damaged.", why, mend)
    try:
        model = Denoiser(Shape(**found.shape))
        model.load_state_dict({_renamed(k): v.float() for k, v in load(data).items()})
    except (RuntimeError, TypeError, SafetensorError) as e:
        why = str(e).splitlines()[0]
        raise StaleError(f"{found.name} does not fit this program.", why, "Use the version that made it.") from e
    return model, sha


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


def _renamed(name: str) -> str:
    """Version 0.1 kept a block's attention in the block itself."""
    for part in ("qkv", "out"):
        name = re.sub(rf"^(blocks\.\d+)\.{part}\.", rf"\1.attention.{part}.", name)
    return name
