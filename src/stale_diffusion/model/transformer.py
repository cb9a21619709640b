"""The denoiser: one transformer over the bits of the scene and of all senses, with the plot.

Every token carries its own staleness, so one network generates (all stale), completes (some given) and restores
(some a little rotten). The crying-joy token is appended, eq. 4; what comes out there is the clip score y-hat.

Shapes: B movies, N tokens in all, L tokens of a stream, D bits of a token, P plot vectors, E plot dimensions, W width,
H heads. Keys of dicts are stream names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from stale_diffusion.channel import COSINE
from stale_diffusion.hinge import ARMS, Arm
from stale_diffusion.model.krebs import Block, Forms, Tissue, turn
from stale_diffusion.model.plot import DIMENSIONS
from stale_diffusion.model.rules import check, padded
from stale_diffusion.senses.base import Stream

CRYING_JOY = "U+1F602"


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
        loss: whose margins come out, a name of hinge.ARMS.
        token: what is appended to read y-hat from: a code point "U+...", "learnable", or "none" (the mean of all).
        charge: attention's NADH charges the gates of later blocks. exhale: the low-frequency component goes (eq. 2).
        turns: how often the blocks between the first and the last are applied; may be changed later.
        forms: blocks are vehicular or anthropomorphic, by the plot.
        self_conditioned: what the network thought a step before is read as well.
        waves: each number of the scene is read as so many sines and cosines of its value, too; 0: none.
    """

    width: int
    depth: int
    heads: int
    streams: Mapping[str, tuple[int, int, int]]
    fields: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    loss: str = "cr_hinge"
    token: str = CRYING_JOY
    charge: bool = False
    exhale: bool = False
    turns: int = 1
    forms: bool = False
    self_conditioned: bool = False
    waves: int = 0

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, the inverse of Shape(**...)."""
        return asdict(self)


class Tokens(NamedTuple):
    """Some tokens of one stream.

    Args:
        bits: (B, L, D) in {-1, +1}, any float or integer type.
        staleness: (B, L) in [0, 1]; 0 is given.
        which: (L,) which tokens of the segment these are.
        thought: (B, L, D) what the network thought of these bits a step before, E[x_0] in [-1, 1]; None: nothing yet.
    """

    bits: Tensor
    staleness: Tensor
    which: Tensor
    thought: Tensor | None = None


def whole(bits: Tensor, staleness: Tensor) -> Tokens:
    """All tokens of a segment, in order."""
    return Tokens(bits, staleness, torch.arange(bits.shape[1], device=bits.device))


def fixed_vector(code_point: int, width: int) -> Tensor:
    """The non-learnable token of a character, (W,), norm sqrt(W), drawn from its code point (eq. 4)."""
    vector = torch.randn(width, generator=torch.Generator().manual_seed(code_point))
    return torch.mul(vector, width**0.5 / vector.norm())


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

    A Gray-coded level is a parity to a network; in plain binary it is a weighted sum, which one matrix can read. Where
    waves are wanted, each number's value v in [0, 1) goes in as sin and cos of pi k v, k = 1 to `waves`, as well: a
    time that is read so is a bump anywhere, by one matrix (Fourier features, Tancik et al. 2020).
    """

    def __init__(
        self, size: tuple[int, int, int], fields: Sequence[Sequence[int]] | None, width: int, *,
        thoughts: bool = False, waves: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        _, bits, kinds = size
        widths = [[1] * bits] * kinds if fields is None else fields
        starts = [[s for s, n in zip(_starts(row), row, strict=True) for _ in range(n)] for row in widths]
        self.port = Port(kinds, 2 * bits, width, bias=False)
        self.thought = Port(kinds, bits, width, bias=False) if thoughts else None
        self.start_KD: Tensor
        self.weigh_KDF: Tensor
        self.register_buffer("start_KD", torch.tensor(starts), persistent=False)
        weigh_KDF = _weights(widths, bits)
        self.waves = waves if weigh_KDF.shape[-1] else 0  # where every bit stands alone there is no number
        if self.waves:
            self.register_buffer("weigh_KDF", weigh_KDF, persistent=False)
            self.wave = Port(kinds, 2 * waves * self.weigh_KDF.shape[-1], width, bias=False)
            nn.init.zeros_(self.wave.weight)  # a network that knew no waves goes on as it was

    def forward(self, x_BLD: Tensor, rho_BL1: Tensor, thought_BLD: Tensor | None = None) -> Tensor:
        """Bits in {-1, +1}, their correlation with the truth, and what was thought of them, (B, L, D) -> (B, L, W)."""
        b, length, bits = x_BLD.shape
        start_LD = self.start_KD.repeat(length // len(self.start_KD), 1)
        ones = F.pad((x_BLD > 0).cumsum(-1), (1, 0))
        before = ones.gather(-1, start_LD.expand(b, -1, -1))
        binary = ((ones[..., 1:] - before) % 2) * 2 - 1
        place_LD = torch.arange(1, bits + 1, device=x_BLD.device) - start_LD
        # A bit counts for what it is worth; a parity of k bits is worth rho^k.
        seen = torch.cat([x_BLD * rho_BL1, binary * rho_BL1**place_LD], -1)
        out: Tensor = self.port(seen.to(self.port.weight.dtype))
        if self.waves:
            out = out + self.wave(self._waves(binary, rho_BL1).to(self.port.weight.dtype))
        if self.thought is not None and thought_BLD is not None:
            out = out + self.thought(thought_BLD.to(self.port.weight.dtype))
        return out

    def _waves(self, binary_BLD: Tensor, rho_BL1: Tensor) -> Tensor:
        """Sines and cosines of each number's value, for what its highest bits are worth, (B, L, F * 2 * waves)."""
        weigh_LDF = self.weigh_KDF.float().repeat(binary_BLD.shape[1] // len(self.weigh_KDF), 1, 1)
        value_BLF = torch.einsum("bld,ldf->blf", (binary_BLD > 0).float(), weigh_LDF)
        phase = torch.pi * value_BLF[..., None] * torch.arange(1, self.waves + 1, device=value_BLF.device)
        return (torch.cat([phase.sin(), phase.cos()], -1) * rho_BL1[..., None] ** 3).flatten(-2)


def _starts(widths: Sequence[int]) -> list[int]:
    return [sum(widths[:i]) for i in range(len(widths))]


def _weights(widths: Sequence[Sequence[int]], bits: int) -> Tensor:
    """What each plain binary bit adds to the value of its number, (kinds, D, F); single bits are no numbers."""
    numbers = [[(s, n) for s, n in zip(_starts(row), row, strict=True) if n > 1] for row in widths]
    weigh_KDF = torch.zeros(len(widths), bits, max(len(row) for row in numbers))
    for k, row in enumerate(numbers):
        for f, (start, n) in enumerate(row):
            weigh_KDF[k, start : start + n, f] = 0.5 ** torch.arange(1, n + 1)
    return weigh_KDF


class Denoiser(nn.Module):
    """Rotten bits and a plot in; for each bit the margin of the cr-hinge out, and the clip score."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        check(shape)
        self.shape = shape
        w = shape.width
        names = {name: name.replace(".", "_") for name in shape.streams}  # module names hold no dots
        self._names = names
        self.recompute = False  # activation checkpointing: a block's inside is made again in the backward pass
        sizes = shape.streams
        fields, thoughts = shape.fields, shape.self_conditioned
        waves = {"scene": shape.waves}  # the others' numbers are many, and say no time
        self.read = nn.ModuleDict({
            names[s]: Reader(n, fields.get(s), w, thoughts=thoughts, waves=waves.get(s, 0)) for s, n in sizes.items()
        })  # fmt: skip
        self.write = nn.ModuleDict({names[s]: Port(k, w, d, bias=True) for s, (_, d, k) in sizes.items()})
        places = {names[s]: nn.Parameter(torch.randn(n, w) * 0.3) for s, (n, *_) in sizes.items()}
        self.place = nn.ParameterDict(places)
        self.past = nn.Parameter(torch.randn(w) * 0.3)
        self.read_staleness = nn.Sequential(nn.Linear(16, w), nn.SiLU(), nn.Linear(w, w))
        self.read_plot = nn.Linear(DIMENSIONS, w)
        self.blocks = nn.ModuleList(_blocks(shape))
        self.forms = Forms(DIMENSIONS, shape.depth) if shape.forms else None
        self.norm = nn.RMSNorm(w)
        self.score = nn.Linear(w, 1)
        self.joy: Tensor
        if shape.token == "learnable":
            self.joy = nn.Parameter(fixed_vector(int(CRYING_JOY[2:], 16), w))
        else:
            code = CRYING_JOY if shape.token == "none" else shape.token
            self.register_buffer("joy", fixed_vector(int(code[2:], 16), w), persistent=False)
        for name in names.values():  # before training the answer is the channel's own: what each bit says
            nn.init.zeros_(self.write[name].get_parameter("weight"))

    @property
    def arm(self) -> Arm:
        """The loss that this network was trained by, and the link that reads its margins."""
        return ARMS[self.shape.loss]

    def _recomputes(self) -> bool:
        return self.recompute and torch.is_grad_enabled()

    def _embed(self, name: str, tokens: Tokens) -> Tensor:
        key = self._names[name]
        rho_BL1 = COSINE.rho(tokens.staleness.float())[..., None]
        bits = self.read[key](tokens.bits, rho_BL1, tokens.thought)
        waves = torch.pi * tokens.staleness.float()[..., None] * torch.arange(1, 9, device=bits.device) / 2
        staleness = self.read_staleness(torch.cat([waves.sin(), waves.cos()], -1).to(bits.dtype))
        return torch.add(bits, staleness + self.place[key][tokens.which])

    def _tissue(self, now: Mapping[str, Tokens], past: Mapping[str, Tokens], plot_mask_BP: Tensor) -> Tissue:
        """Which tokens are there, and of which sense each is; in the order of `forward`."""
        senses = [name.split(".")[0] for name in self.shape.streams]
        order = list(dict.fromkeys(senses))
        group = [i for name, t in (*now.items(), *past.items())
                 for i in [order.index(name.split(".")[0])] * t.bits.shape[1]]  # fmt: skip
        there = plot_mask_BP.new_ones(len(plot_mask_BP), len(group))
        joy = plot_mask_BP.new_full((len(plot_mask_BP), 1), self.shape.token != "none")
        mask_BN = torch.cat([there, joy, plot_mask_BP], 1)
        length = mask_BN.shape[1]
        mask_BN = F.pad(mask_BN, (0, padded(length) - length))
        alone = [-1] * (mask_BN.shape[1] - len(group))
        return Tissue(mask_BN[:, None, None], torch.tensor([*group, *alone], device=mask_BN.device))

    def forward(
        self,
        now: Mapping[str, Tokens],
        past: Mapping[str, Tokens],
        plot: tuple[Tensor, Tensor],
        turns: int | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Margins of the bits of this segment, {stream: (B, L, D)}, and the clip score (B,).

        Args:
            now: the tokens of this segment; any streams, any subset of their tokens.
            past: those of the segment before it; empty at a movie's start.
            plot: vectors (B, P, E) and mask (B, P) of a PlotEncoder.
            turns: of the loop; None: the shape's.
        """
        vectors_BPE, plot_mask_BP = plot
        b = len(vectors_BPE)
        parts = [self._embed(name, tokens) for name, tokens in now.items()]
        parts += [self._embed(name, tokens) + self.past for name, tokens in past.items()]
        seen = sum(p.shape[1] for p in parts)
        joy = self.joy.expand(b, 1, -1).to(parts[0].dtype)
        x_BNW = torch.cat([*parts, joy, self.read_plot(vectors_BPE.to(parts[0].dtype))], 1)
        tissue = self._tissue(now, past, plot_mask_BP)
        x_BNW = F.pad(x_BNW, (0, 0, 0, tissue.mask.shape[-1] - x_BNW.shape[1]))
        local_BK = self.forms(vectors_BPE[:, 0]) if self.forms is not None else None
        blocks = [partial(checkpoint, b, use_reentrant=False) if self._recomputes() else b for b in self.blocks]
        x_BNW = turn(blocks, x_BNW, torch.zeros_like(x_BNW), tissue, local_BK, turns or self.shape.turns)
        x_BNW = self.norm(x_BNW)
        out, at = {}, 0
        for name, tokens in now.items():
            y_BLW = x_BNW[:, at : at + tokens.bits.shape[1]]
            at += tokens.bits.shape[1]
            # The channel's own margin is added, so the network learns only what the bit itself does not say.
            rho_BL1 = COSINE.rho(tokens.staleness.double())[..., None]
            own = self.arm.margin((1 + rho_BL1) / 2).float()
            out[name] = self.write[self._names[name]](y_BLW).float() + own * tokens.bits
        heard_BW = x_BNW[:, :seen].mean(1) if self.shape.token == "none" else x_BNW[:, seen]
        return out, self.score(heard_BW).float().squeeze(-1)


def _blocks(shape: Shape) -> list[Block]:
    """No clutter: the last block charges no gate, and no gate is charged before the first has made NADH."""
    return [
        Block(
            shape.width, shape.heads, shape.depth,
            charge=shape.charge and i < shape.depth - 1, charged=shape.charge and i > 0, exhale=shape.exhale,
        )
        for i in range(shape.depth)
    ]  # fmt: skip


def sizes_of(streams: Iterable[Stream]) -> dict[str, tuple[int, int, int]]:
    """What a Shape wants to know of streams."""
    return {s.name: (s.tokens, s.bits, s.kinds) for s in streams}
