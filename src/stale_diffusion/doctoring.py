"""The doctor: what this installation has and what it lacks, one finding a line."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import version

from stale_diffusion.errors import StaleError


def examine() -> Iterator[tuple[str, str, bool]]:
    """Yield (name, finding, whether it is good)."""
    import torch

    from stale_diffusion import media
    from stale_diffusion.machine import fastest_type, matrix_rate
    from stale_diffusion.model.weights import read_model
    from stale_diffusion.version import VERSION

    yield "stale-diffusion", VERSION, True
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", True
    yield "torch, av", f"{version('torch')}, {version('av')}", True
    yield "cores", str(os.cpu_count()), True
    dtype = fastest_type()
    yield "number type", f"{str(dtype).removeprefix('torch.')} at {matrix_rate(dtype) / 1e9:.0f} GFLOP/s", True
    yield "gpu", torch.cuda.get_device_name() if torch.cuda.is_available() else "none; none is needed", True
    missing = media.missing_encoders()
    yield "encoders", f"missing: {', '.join(missing)}" if missing else "all there", not missing
    free = shutil.disk_usage(".").free / 1e9
    yield "disk", f"{free:.1f} GB free here", free > 1
    try:
        model, digest = read_model()
        size = sum(p.numel() for p in model.parameters()) / 1e6
        yield "model", f"{size:.1f} M parameters, sha256 {digest[:16]}", True
    except StaleError as e:
        yield "model", f"{e.what} {e.mend}", False
