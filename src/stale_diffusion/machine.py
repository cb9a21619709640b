"""What this machine does fastest: the number type is probed, never assumed."""

from __future__ import annotations

import time
from functools import lru_cache

import torch


def matrix_rate(dtype: torch.dtype, device: str = "cpu", size: int = 512, repeats: int = 4) -> float:
    """The best rate of a square matrix product, FLOP/s; a few milliseconds."""
    a, b = torch.randn(2, size, size, device=device).to(dtype)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


@lru_cache
def fastest_type(device: str = "cpu") -> torch.dtype:
    """bfloat16 where its matrices run at least 1.3 times as fast as float32's, else float32.

    Without bfloat16 instructions a CPU runs it seventy times slower than float32.
    """
    # a slow type gives itself away at once; the best of many, as a busy machine interrupts some
    small = matrix_rate(torch.bfloat16, device, 128, 12)
    if small < 0.5 * matrix_rate(torch.float32, device, 128, 12):
        return torch.float32
    faster = matrix_rate(torch.bfloat16, device, repeats=12) > 1.3 * matrix_rate(torch.float32, device, repeats=12)
    return torch.bfloat16 if faster else torch.float32
