"""What this machine does fastest: the number type is probed, never assumed."""

from __future__ import annotations

import time
from functools import lru_cache

import torch


def matrix_rate(dtype: torch.dtype, device: str = "cpu", size: int = 512, repeats: int = 8) -> float:
    """The best rate of a square matrix product, FLOP/s; a few milliseconds."""
    a, b = torch.ones(2, size, size, device=device).to(dtype)  # no random numbers: a probe leaves every seed as it is
    a @ b  # the first one of a type and size also compiles its kernel: it says nothing of the rate
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
    small = matrix_rate(torch.bfloat16, device, 128, 4)  # a slow type gives itself away at once
    if small < 0.25 * matrix_rate(torch.float32, device, 128, 4):
        return torch.float32
    faster = matrix_rate(torch.bfloat16, device) > 1.3 * matrix_rate(torch.float32, device)
    return torch.bfloat16 if faster else torch.float32
