"""What the digit benchmarks share: data, and a small U-Net over 784 bits.

The network predicts leave-one-out log-odds (of a bit given all *others*); the bit's own evidence, 2 atanh(rho) x_t, is
added where the full posterior is wanted. Staleness here is t with rho = sqrt(1 - t^2) (`SCHEDULE`): the gradient of
the bound's integrand then has about the same variance at every t, so that t can be drawn evenly.
Shapes: B images, C channels, N = 784 bits, S x S picture.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from report import data_folder
from stale_diffusion.channel import Schedule, to_full
from stale_diffusion.hinge import Arm
from stale_diffusion.machine import fastest_type
from stale_diffusion.sample import Denoiser

WEIGHTS = Path(__file__).parent / "weights"
SIDE, BITS = 28, 784

SCHEDULE = Schedule("circle", lambda t: torch.sqrt(1 - t**2), lambda rho: torch.sqrt(1 - rho**2))


# Data


def static_digits(part: str) -> Tensor:
    """Binarised MNIST (Larochelle and Murray 2011), part train, valid or test: (B, 784) int8 in {-1, +1}."""
    from scipy.io import loadmat  # type: ignore[import-untyped]

    return _signs(loadmat(data_folder() / "data" / f"binarized_mnist_{part}.mat")["X"])


def grey_digits(part: str) -> tuple[Tensor, Tensor]:
    """MNIST, part train or test: intensities (B, 784) uint8, and labels (B,)."""
    with np.load(data_folder() / "data" / "mnist.npz") as file:
        return torch.from_numpy(file[f"x_{part}"]).flatten(1), torch.from_numpy(file[f"y_{part}"]).long()


def binarise(grey_BN: Tensor, generator: torch.Generator) -> Tensor:
    """Dynamic binarisation: a pixel is +1 with its intensity as probability; int8."""
    u = torch.rand(grey_BN.shape, generator=generator)
    return torch.where(u * 255 < grey_BN, 1, -1).to(torch.int8)


def _signs(bits: np.ndarray) -> Tensor:
    return torch.from_numpy(bits.astype(np.int8) * 2 - 1)


# Network


@dataclass(frozen=True)
class Shape:
    """Widths at 28, 14 and 7 pixels, and residual blocks at 14 (on the way down, on the way up) and at 7."""

    fine: int = 32
    middle: int = 96
    coarse: int = 128
    down: int = 1
    up: int = 2
    bottom: int = 3
    scaled: bool = True  # a bit goes in times rho, for what it is worth


class Conv(nn.Module):
    """A convolution whose weight is a matrix (out, side * side * in), as Muon wants it; side 1 or 3."""

    def __init__(self, inward: int, outward: int, side: int = 3, gain: float = 1.0) -> None:
        super().__init__()
        self.side = side
        fan = side * side * inward
        self.weight = nn.Parameter(torch.randn(outward, fan) * gain / math.sqrt(fan))
        self.bias = nn.Parameter(torch.zeros(outward))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.view(len(self.weight), self.side, self.side, -1).permute(0, 3, 1, 2)
        return F.conv2d(x, kernel, self.bias, padding=self.side // 2)


def _normal(x: Tensor) -> Tensor:
    """Root mean square 1 over the channels of each pixel."""
    return x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-5).to(x.dtype)


class Block(nn.Module):
    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.film = nn.Linear(condition, 2 * width)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        self.first, self.second = Conv(width, width), Conv(width, width, gain=0.1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[:, :, None, None].to(x.dtype).chunk(2, 1)
        return x + self.second(F.silu(self.first(F.silu(_normal(x) * (1 + scale) + shift))))


class Attention(nn.Module):
    """Each of the 49 places looks at all others."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = Conv(width, 3 * width, 1), Conv(width, width, 1, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        q, k, v = self.qkv(_normal(x)).flatten(2).view(B, 3, self.heads, C // self.heads, H * W).unbind(1)
        weights = torch.softmax(q.transpose(-1, -2) @ k / math.sqrt(C // self.heads), dim=-1)
        return x + self.out((v @ weights.transpose(-1, -2)).reshape(B, C, H, W))


class UNet(nn.Module):
    """(B, 784) bits and their staleness (B,) -> leave-one-out log-odds (B, 784), or margins, as the loss has it."""

    def __init__(self, shape: Shape = Shape(), condition: int = 128) -> None:
        super().__init__()
        self.shape = shape
        fine, middle, coarse = shape.fine, shape.middle, shape.coarse
        self.register_buffer("frequencies", torch.arange(1, 17) * math.pi, persistent=False)
        self.condition = nn.Sequential(nn.Linear(34, condition), nn.SiLU(), nn.Linear(condition, condition), nn.SiLU())
        self.enter = Conv(4, middle)
        self.place_middle = nn.Parameter(torch.zeros(1, middle, SIDE // 2, SIDE // 2))
        self.place_coarse = nn.Parameter(torch.zeros(1, coarse, SIDE // 4, SIDE // 4))
        self.down = nn.ModuleList(Block(middle, condition) for _ in range(shape.down))
        self.shrink = Conv(4 * middle, coarse, 1)
        self.bottom = nn.ModuleList(Block(coarse, condition) for _ in range(shape.bottom))
        self.attention = nn.ModuleList(Attention(coarse) for _ in range(shape.bottom - 1))
        self.grow = Conv(coarse, 4 * middle, 1)
        self.up = nn.ModuleList(Block(middle, condition) for _ in range(shape.up))
        self.grow_fine = Conv(middle, 4 * fine, 1)
        self.enter_fine = Conv(1, fine)
        self.last = Block(fine, condition)
        self.leave = Conv(fine, 1, gain=0.1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        rho = SCHEDULE.rho(t)
        angle = t[:, None] * self.frequencies
        condition = self.condition(torch.cat([t[:, None], rho[:, None], angle.sin(), angle.cos()], 1))
        image = (
            (x * rho[:, None] if self.shape.scaled else x)
            .view(-1, 1, SIDE, SIDE)
            .contiguous(memory_format=torch.channels_last)
        )
        h = self.enter(F.pixel_unshuffle(image, 2))
        h = h + self.place_middle.to(h.dtype)
        for block in self.down:
            h = block(h, condition)
        low = self.shrink(F.pixel_unshuffle(h, 2))
        low = low + self.place_coarse.to(h.dtype)
        for i, block in enumerate(self.bottom):
            low = block(low, condition)
            if i < len(self.attention):
                low = self.attention[i](low)
        h = h + F.pixel_shuffle(self.grow(low), 2)
        for block in self.up:
            h = block(h, condition)
        h = self.last(F.pixel_shuffle(self.grow_fine(h), 2) + self.enter_fine(image), condition)
        return self.leave(_normal(h)).flatten(1).float()


@dataclass(frozen=True)
class Width:
    """Of a perceptron, and its residual blocks; `scaled` as in `Shape`."""

    width: int = 320
    blocks: int = 2
    scaled: bool = True


class Perceptron(nn.Module):
    """The same as `UNet`, without looking at the picture as a picture: a hundred times as fast where matrices are."""

    def __init__(self, shape: Width = Width(), condition: int = 64) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        self.register_buffer("frequencies", torch.arange(1, 17) * math.pi, persistent=False)
        self.condition = nn.Sequential(nn.Linear(34, condition), nn.SiLU(), nn.Linear(condition, condition), nn.SiLU())
        self.enter = nn.Linear(BITS, width)
        self.film = nn.ModuleList(nn.Linear(condition, 2 * width) for _ in range(shape.blocks))
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(shape.blocks))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(shape.blocks))
        self.leave = nn.Linear(width, BITS)
        for film in self.film:
            nn.init.zeros_(film.weight)
            nn.init.zeros_(film.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        rho = SCHEDULE.rho(t)
        angle = t[:, None] * self.frequencies
        condition = self.condition(torch.cat([t[:, None], rho[:, None], angle.sin(), angle.cos()], 1))
        h = self.enter(x * rho[:, None] if self.shape.scaled else x)
        for film, first, second in zip(self.film, self.first, self.second, strict=True):
            scale, shift = film(condition).chunk(2, 1)
            h = h + second(F.silu(first(F.silu(_normal(h) * (1 + scale) + shift))))
        return self.leave(F.silu(_normal(h))).float()


Network = UNet | Perceptron


def build(shape: Shape | Width) -> Network:
    return UNet(shape) if isinstance(shape, Shape) else Perceptron(shape)


def ask(network: Network) -> Callable[[Tensor, Tensor], Tensor]:
    """Bits (B, N) and a staleness per bit that is one per image -> what the network says, 500 images at a time."""
    network = compiled(network)

    def output(x: Tensor, t: Tensor) -> Tensor:
        t_B = t.expand(x.shape)[:, 0].float()
        with torch.no_grad(), autocast():
            parts = zip(x.float().split(500), t_B.split(500), strict=True)
            return torch.cat([network(part, part_t) for part, part_t in parts])

    return output


def denoiser(network: Network) -> Denoiser:
    """The full posterior of a network that gives leave-one-out log-odds."""
    output = ask(network)
    return lambda x, t: torch.sigmoid(to_full(output(x, t), x, SCHEDULE.rho(t.double())))


def arm_denoiser(network: Network, arm: Arm) -> Denoiser:
    """The full posterior of a network that was trained with an arm of `hinge.ARMS`."""
    output = ask(network)
    return lambda x, t: arm.probability(output(x, t) + channel_margin(arm, x, t))


def channel_margin(arm: Arm, x_t: Tensor, t: Tensor) -> Tensor:
    """The margin at which the arm's probability is the channel's own, P(x_0 = +1 | this bit of x_t) for a fair bit.

    The network only adds to it. t broadcasts to x_t.
    """
    return arm.margin((1 + SCHEDULE.rho(t) * x_t) / 2).float()


def autocast() -> torch.autocast:
    kind = fastest_type()
    return torch.autocast("cpu", kind, enabled=kind != torch.float32)


def compiled(network: Network) -> Callable[[Tensor, Tensor], Tensor]:
    """A U-Net fused where a C++ compiler is there: 1.5 times the speed on one core. A perceptron stays as it is."""
    if isinstance(network, UNet) and shutil.which("g++"):
        fused: Callable[[Tensor, Tensor], Tensor] = torch.compile(network, dynamic=False)
        return fused
    return network


# Weights


def save_weights(name: str, networks: Mapping[str, Network]) -> None:
    """benchmarks/weights/NAME.safetensors: matrices as int8 with a scale a row, the rest as float16."""
    tensors, header = {}, {}
    for key, network in networks.items():
        kind = "unet" if isinstance(network, UNet) else "perceptron"
        header[key] = json.dumps({"kind": kind, **asdict(network.shape)})
        for n, value in network.state_dict().items():
            if value.ndim != 2:
                tensors[f"{key}.{n}"] = value.half().contiguous()
                continue
            scale = value.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            tensors[f"{key}.{n}"] = (value / scale).round().to(torch.int8)
            tensors[f"{key}.{n}:scale"] = scale
    part = WEIGHTS / f"{name}.part"
    save_file(tensors, part, header)
    os.replace(part, WEIGHTS / f"{name}.safetensors")


def load_weights(name: str) -> dict[str, Network]:
    """The networks of a file, in float32, ready to ask."""
    networks: dict[str, Network] = {}
    tensors = load_file(WEIGHTS / f"{name}.safetensors")
    with safe_open(WEIGHTS / f"{name}.safetensors", "pt") as file:
        header = file.metadata()
    for key, written in header.items():
        shape = json.loads(written)
        kind = shape.pop("kind")
        network = networks[key] = UNet(Shape(**shape)) if kind == "unet" else Perceptron(Width(**shape))
        state = {}
        for n in network.state_dict():
            value, scale = tensors[f"{key}.{n}"].float(), tensors.get(f"{key}.{n}:scale")
            state[n] = value if scale is None else value * scale
        network.load_state_dict(state)
        network.eval().requires_grad_(False)
    return networks
