"""The denoiser: one transformer over the bits of the scene and of all senses, with the plot.

Every token carries its own staleness, so one network generates (all stale), completes (some given) and restores
(some a little rotten). The crying-joy token is appended, eq. 4; what comes out there is the clip score y-hat.

Shapes: B movies, N tokens in all, L tokens of a stream, D bits of a token, P plot vectors, E plot dimensions, W width,
H heads. Keys of dicts are stream names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stale_diffusion.channel import COSINE
from stale_diffusion.hinge import margin
from stale_diffusion.model.plot import DIMENSIONS
from stale_diffusion.senses.base import Stream

CRYING_JOY = 0x1F602


@dataclass(frozen=True)
class Shape:
    """The size of the network.

    Args:
        width: W, a multiple of 8.
        depth: blocks.
        heads: H, width / heads a multiple of 8.
        streams: what it reads, name -> (tokens a segment, bits a token, kinds of token).
        fields: which bits are one number, name -> for each kind the widths in bits, in order; a stream that is not
            there has a number a bit.
    """

    width: int
    depth: int
    heads: int
    streams: Mapping[str, tuple[int, int, int]]
    fields: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, the inverse of Shape(**...)."""
        return asdict(self)


class Tokens(NamedTuple):
    """Some tokens of one stream.

    Args:
        bits: (B, L, D) in {-1, +1}, any float or integer type.
        staleness: (B, L) in [0, 1]; 0 is given.
        which: (L,) which tokens of the segment these are.
    """

    bits: Tensor
    staleness: Tensor
    which: Tensor


def whole(bits: Tensor, staleness: Tensor) -> Tokens:
    """All tokens of a segment, in order."""
    return Tokens(bits, staleness, torch.arange(bits.shape[1], device=bits.device))


def fixed_vector(code_point: int, width: int) -> Tensor:
    """The non-learnable token of a character, (W,), norm sqrt(W), drawn from its code point (eq. 4)."""
    vector = torch.randn(width, generator=torch.Generator().manual_seed(code_point))
    return torch.mul(vector, width**0.5 / vector.norm())


def attend(q_BHND: Tensor, k_BHND: Tensor, v_BHND: Tensor, mask_B11N: Tensor) -> Tensor:
    """softmax(q k' / sqrt(D)) v over the unmasked, (B, H, N, D).

    For a gradient on a CPU it is written out: at a few hundred tokens the fused kernel's backward pass takes 2.5 times
    as long (2 cores, bfloat16, 198 tokens). Without one, and on a GPU, it is the fused call.
    """
    if torch.is_grad_enabled() and q_BHND.device.type == "cpu":
        scores = (q_BHND @ k_BHND.transpose(-1, -2)) * q_BHND.shape[-1] ** -0.5
        return torch.matmul(scores.masked_fill(~mask_B11N, -1e9).softmax(-1), v_BHND)
    return F.scaled_dot_product_attention(q_BHND, k_BHND, v_BHND, attn_mask=mask_B11N)


class Block(nn.Module):
    """Pre-norm attention and a gated feed-forward, both added to the stream."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        hidden = 8 * round(width * 8 / 3 / 8)
        self.norm_attention, self.norm_forward = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        for linear in (self.out, self.down):  # even flow: the stream's variance grows by about one over all blocks
            nn.init.normal_(linear.weight, std=(2 * depth * linear.in_features) ** -0.5)

    def forward(self, x_BNW: Tensor, mask_B11N: Tensor) -> Tensor:
        """(B, N, W) -> (B, N, W); tokens where the mask is false are not attended to."""
        b, n, w = x_BNW.shape
        q, k, v = self.qkv(self.norm_attention(x_BNW)).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        q, k = F.rms_norm(q, (q.shape[-1],)), F.rms_norm(k, (k.shape[-1],))  # bounded logits, whatever the weights
        a = attend(q, k, v, mask_B11N)
        x_BNW = x_BNW + self.out(a.transpose(1, 2).reshape(b, n, w))
        gate, value = self.up(self.norm_forward(x_BNW)).chunk(2, -1)
        return torch.add(x_BNW, self.down(F.silu(gate) * value))


class Port(nn.Module):
    """A linear map for each kind of token of a stream: token l is of kind l % K."""

    def __init__(self, kinds: int, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kinds, inputs, outputs) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(kinds, outputs)) if bias else None

    def forward(self, x_BLI: Tensor) -> Tensor:
        """(B, L, inputs) -> (B, L, outputs)."""
        b, length, _ = x_BLI.shape
        kinds, inputs, outputs = self.weight.shape
        x_KMI = x_BLI.view(b, length // kinds, kinds, inputs).permute(2, 0, 1, 3).reshape(kinds, -1, inputs)
        y_KMO = torch.bmm(x_KMI, self.weight.to(x_KMI.dtype))
        if self.bias is not None:
            y_KMO = y_KMO + self.bias[:, None].to(y_KMO.dtype)
        return y_KMO.view(kinds, b, -1, outputs).permute(1, 2, 0, 3).reshape(b, length, outputs)


class Reader(nn.Module):
    """Reads tokens: their bits as they are, and each number once more in plain binary.

    A Gray-coded level is a parity to a network; in plain binary it is a weighted sum, which one matrix can read.
    """

    def __init__(self, size: tuple[int, int, int], fields: Sequence[Sequence[int]] | None, width: int) -> None:
        super().__init__()
        _, bits, kinds = size
        widths = [[1] * bits] * kinds if fields is None else fields
        starts = [[s for s, n in zip(_starts(row), row, strict=True) for _ in range(n)] for row in widths]
        self.port = Port(kinds, 2 * bits, width, bias=False)
        self.start_KD: Tensor
        self.register_buffer("start_KD", torch.tensor(starts), persistent=False)

    def forward(self, x_BLD: Tensor, rho_BL1: Tensor) -> Tensor:
        """Bits in {-1, +1} and their correlation with the truth, (B, L, D) -> (B, L, W)."""
        b, length, bits = x_BLD.shape
        start_LD = self.start_KD.repeat(length // len(self.start_KD), 1)
        ones = F.pad((x_BLD > 0).cumsum(-1), (1, 0))
        before = ones.gather(-1, start_LD.expand(b, -1, -1))
        binary = ((ones[..., 1:] - before) % 2) * 2 - 1
        place_LD = torch.arange(1, bits + 1, device=x_BLD.device) - start_LD
        # A bit counts for what it is worth; a parity of k bits is worth rho^k.
        seen = torch.cat([x_BLD * rho_BL1, binary * rho_BL1**place_LD], -1)
        out: Tensor = self.port(seen.to(self.port.weight.dtype))
        return out


def _starts(widths: Sequence[int]) -> list[int]:
    return [sum(widths[:i]) for i in range(len(widths))]


class Denoiser(nn.Module):
    """Rotten bits and a plot in; for each bit the margin of the cr-hinge out, and the clip score."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        w = shape.width
        names = {name: name.replace(".", "_") for name in shape.streams}  # module names hold no dots
        self._names = names
        sizes = shape.streams
        self.read = nn.ModuleDict({names[s]: Reader(size, shape.fields.get(s), w) for s, size in sizes.items()})
        self.write = nn.ModuleDict({names[s]: Port(k, w, d, bias=True) for s, (_, d, k) in sizes.items()})
        places = {names[s]: nn.Parameter(torch.randn(n, w) * 0.3) for s, (n, *_) in sizes.items()}
        self.place = nn.ParameterDict(places)
        self.past = nn.Parameter(torch.randn(w) * 0.3)
        self.read_staleness = nn.Sequential(nn.Linear(16, w), nn.SiLU(), nn.Linear(w, w))
        self.read_plot = nn.Linear(DIMENSIONS, w)
        self.blocks = nn.ModuleList([Block(w, shape.heads, shape.depth) for _ in range(shape.depth)])
        self.norm = nn.RMSNorm(w)
        self.score = nn.Linear(w, 1)
        self.crying_joy: Tensor
        self.register_buffer("crying_joy", fixed_vector(CRYING_JOY, w), persistent=False)
        for name in names.values():  # before training the answer is the channel's own: what each bit says
            nn.init.zeros_(self.write[name].get_parameter("weight"))

    def _embed(self, name: str, tokens: Tokens) -> Tensor:
        key = self._names[name]
        rho_BL1 = COSINE.rho(tokens.staleness.float())[..., None]
        bits = self.read[key](tokens.bits, rho_BL1)
        waves = torch.pi * tokens.staleness.float()[..., None] * torch.arange(1, 9, device=bits.device) / 2
        staleness = self.read_staleness(torch.cat([waves.sin(), waves.cos()], -1).to(bits.dtype))
        return torch.add(bits, staleness + self.place[key][tokens.which])

    def forward(
        self,
        now: Mapping[str, Tokens],
        past: Mapping[str, Tokens],
        plot: tuple[Tensor, Tensor],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Margins of the bits of this segment, {stream: (B, L, D)}, and the clip score (B,).

        Args:
            now: the tokens of this segment; any streams, any subset of their tokens.
            past: those of the segment before it; empty at a movie's start.
            plot: vectors (B, P, E) and mask (B, P) of a PlotEncoder.
        """
        vectors_BPE, plot_mask_BP = plot
        b = len(vectors_BPE)
        parts = [self._embed(name, tokens) for name, tokens in now.items()]
        parts += [self._embed(name, tokens) + self.past for name, tokens in past.items()]
        seen = sum(p.shape[1] for p in parts)
        joy = self.crying_joy.expand(b, 1, -1).to(parts[0].dtype)
        x_BNW = torch.cat([*parts, joy, self.read_plot(vectors_BPE.to(parts[0].dtype))], 1)
        mask_BN = torch.cat([plot_mask_BP.new_ones(b, seen + 1), plot_mask_BP], 1)
        for block in self.blocks:
            x_BNW = block(x_BNW, mask_BN[:, None, None])
        x_BNW = self.norm(x_BNW)
        out, at = {}, 0
        for name, tokens in now.items():
            y_BLW = x_BNW[:, at : at + tokens.bits.shape[1]]
            at += tokens.bits.shape[1]
            # The channel's own margin is added, so the network learns only what the bit itself does not say.
            rho_BL1 = COSINE.rho(tokens.staleness.double())[..., None]
            own = margin((1 + rho_BL1) / 2).float()
            out[name] = self.write[self._names[name]](y_BLW).float() + own * tokens.bits
        return out, self.score(x_BNW[:, seen]).float().squeeze(-1)


def sizes_of(streams: Iterable[Stream]) -> dict[str, tuple[int, int, int]]:
    """What a Shape wants to know of streams."""
    return {s.name: (s.tokens, s.bits, s.kinds) for s in streams}
