"""The Krebs cycle, eq. 2: attention whose output has three parts, in blocks of two forms.

Queries are NAD+, keys HSCoA, values pyruvate. What attention makes of the pyruvate is split, and carbon is conserved:

    pyruvate = acetyl-CoA + NADH + CO2

CO2 is the low-frequency component, the mean over all tokens: a share of it is exhaled, because attention alone draws
all tokens together (over-smoothing; Wang et al. 2022, AttnScale). NADH charges the gates of the blocks that follow.
Acetyl-CoA enters the residual stream. The two forms are vehicular (attention over all senses and times) and
anthropomorphic (within one sense); `Forms` chooses by the plot.

Shapes: B movies, N tokens, H heads, D head size, W width, F hidden units, P plot dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Products(NamedTuple):
    """The three parts of the output of attention, each (B, N, W); their sum is what went in."""

    acetyl: Tensor
    nadh: Tensor
    co2: Tensor


class Tissue(NamedTuple):
    """Who may attend to whom.

    Args:
        mask: (B, 1, 1, N) true where a token is there.
        group: (N,) the sense of each token; -1: plot and crying joy, which every form sees.
    """

    mask: Tensor
    group: Tensor


def attend(q_BHND: Tensor, k_BHND: Tensor, v_BHND: Tensor, mask_B11N: Tensor) -> Tensor:
    """softmax(q k' / sqrt(D)) v over the unmasked, (B, H, N, D).

    For a gradient on a CPU it is written out: at a few hundred tokens the fused kernel's backward pass takes 2.5 times
    as long (2 cores, bfloat16, 198 tokens). Without one, and on a GPU, it is the fused call.
    """
    if torch.is_grad_enabled() and q_BHND.device.type == "cpu":
        scores = (q_BHND @ k_BHND.transpose(-1, -2)) * q_BHND.shape[-1] ** -0.5
        return torch.matmul(scores.masked_fill(~mask_B11N, -1e9).softmax(-1), v_BHND)
    return F.scaled_dot_product_attention(q_BHND, k_BHND, v_BHND, attn_mask=mask_B11N)


def attend_within(q_BHND: Tensor, k_BHND: Tensor, v_BHND: Tensor, tissue: Tissue) -> Tensor:
    """Attention within one sense, and to plot and crying joy, which themselves see all: only these products are made.

    Returns:
        (B, H, N, D), what `attend` gives under the mask of `within`.
    """
    out = torch.empty_like(v_BHND)
    shared = tissue.group < 0
    for sense in sorted(set(tissue.group.tolist())):
        own = tissue.group == sense
        seen = own | shared if sense >= 0 else torch.ones_like(own)
        k, v, mask = k_BHND[:, :, seen], v_BHND[:, :, seen], tissue.mask[..., seen]
        out[:, :, own] = attend(q_BHND[:, :, own], k, v, mask)
    return out


def within(tissue: Tissue) -> Tensor:
    """The mask of the anthropomorphic form, (B, 1, N, N)."""
    group = tissue.group
    same = (group[:, None] == group) | (group[:, None] < 0) | (group < 0)
    return tissue.mask & same


class KrebsAttention(nn.Module):
    """Eq. 2: pyruvate through one attention call, then decarboxylated."""

    def __init__(self, width: int, heads: int, depth: int, *, charge: bool, exhale: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        # even flow: the stream's variance grows by about one over all blocks
        nn.init.normal_(self.out.weight, std=(2 * depth * width) ** -0.5)
        # Shares, per channel, before the sigmoid: an eighth at first.
        self.charge = nn.Parameter(torch.full((width,), -2.0)) if charge else None
        self.exhale = nn.Parameter(torch.full((width,), -2.0)) if exhale else None

    def forward(self, x_BNW: Tensor, tissue: Tissue, local_B: Tensor | None) -> Products:
        """The three parts, before the projection into the residual stream.

        Args:
            local_B: how far each movie takes the anthropomorphic form, [0, 1]; 0 or 1 where no gradient is wanted;
                None: all vehicular.
        """
        b, n, w = x_BNW.shape
        q, k, v = self.qkv(x_BNW).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        q, k = F.rms_norm(q, (q.shape[-1],)), F.rms_norm(k, (k.shape[-1],))  # bounded logits, whatever the weights
        if local_B is None:
            a = attend(q, k, v, tissue.mask)
        elif torch.is_grad_enabled():
            share = local_B[:, None, None, None].to(v.dtype)
            a = torch.lerp(attend(q, k, v, tissue.mask), attend(q, k, v, within(tissue)), share)
        else:
            a = _hard(q, k, v, tissue, local_B > 0.5)
        return self._decarboxylate(a.transpose(1, 2).reshape(b, n, w), tissue)

    def _decarboxylate(self, pyruvate_BNW: Tensor, tissue: Tissue) -> Products:
        zero = torch.zeros((), dtype=pyruvate_BNW.dtype, device=pyruvate_BNW.device)
        rest, co2, nadh = pyruvate_BNW, zero, zero
        if self.exhale is not None:
            there_BN1 = tissue.mask[:, 0, 0, :, None].to(rest.dtype)
            mean_B1W = (rest * there_BN1).sum(1, keepdim=True) / there_BN1.sum(1, keepdim=True)
            co2 = torch.sigmoid(self.exhale).to(rest.dtype) * mean_B1W
            rest = rest - co2
        if self.charge is not None:
            nadh = torch.sigmoid(self.charge).to(rest.dtype) * rest
            rest = rest - nadh
        return Products(rest, nadh, co2)


def _hard(q: Tensor, k: Tensor, v: Tensor, tissue: Tissue, local_B: Tensor) -> Tensor:
    """Each movie in the form it has chosen; the other costs nothing."""
    if not local_B.any():
        return attend(q, k, v, tissue.mask)
    if local_B.all():
        return attend_within(q, k, v, tissue)
    out = torch.empty_like(v)
    for form in (False, True):
        chosen = (local_B == form).nonzero()[:, 0]
        part = Tissue(tissue.mask[chosen], tissue.group)
        one = (q[chosen], k[chosen], v[chosen])
        out[chosen] = attend_within(*one, part) if form else attend(*one, part.mask)
    return out


class Block(nn.Module):
    """Pre-norm Krebs attention and a gated feed-forward, both added to the stream."""

    def __init__(self, width: int, heads: int, depth: int, *, charge: bool, charged: bool, exhale: bool) -> None:
        super().__init__()
        hidden = 8 * round(width * 8 / 3 / 8)
        self.norm_attention, self.norm_forward = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention = KrebsAttention(width, heads, depth, charge=charge, exhale=exhale)
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.normal_(self.down.weight, std=(2 * depth * hidden) ** -0.5)
        self.charged = nn.Parameter(torch.zeros(width)) if charged else None

    def forward(self, x_BNW: Tensor, nadh_BNW: Tensor, tissue: Tissue, local_B: Tensor | None) -> tuple[Tensor, Tensor]:
        """The stream and the pool of NADH, both (B, N, W), one block further."""
        made = self.attention(self.norm_attention(x_BNW), tissue, local_B)
        x_BNW = x_BNW + self.attention.out(made.acetyl)
        normed = self.norm_forward(x_BNW)
        if self.charged is None:
            gate, value = self.up(normed).chunk(2, -1)
        else:
            pool = F.rms_norm(nadh_BNW, nadh_BNW.shape[-1:]) * self.charged.to(nadh_BNW.dtype)
            to_gate, to_value = self.up.weight.chunk(2)
            gate, value = F.linear(normed + pool.to(normed.dtype), to_gate), F.linear(normed, to_value)
        return x_BNW + self.down(F.silu(gate) * value), nadh_BNW + made.nadh


class Forms(nn.Module):
    """A gate a block that reads the plot: how far the block takes the anthropomorphic form."""

    def __init__(self, dimensions: int, blocks: int) -> None:
        super().__init__()
        self.read = nn.Linear(dimensions, blocks)

    def forward(self, gist_BP: Tensor) -> Tensor:
        """(B, P) -> (B, blocks) in [0, 1], each at most 1 minus the one before: no two neighbours over 1/2.

        In training with noise (the concrete distribution, Maddison et al. 2017), so that the gates learn to be sure;
        otherwise 0 or 1.
        """
        logits = self.read(gist_BP.to(self.read.weight.dtype)).float()
        if self.training:
            u = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
            logits = logits + torch.logit(u)
        share = torch.sigmoid(logits)
        local: list[Tensor] = []
        for block in share.unbind(-1):
            local.append(block * (1 - local[-1]) if local else block)
        out = torch.stack(local, -1)
        return out if self.training else (out > 0.5).float()


def turn(
    blocks: Sequence[Callable[..., Any]],
    x_BNW: Tensor,
    nadh_BNW: Tensor,
    tissue: Tissue,
    local_BK: Tensor | None,
    turns: int,
) -> Tensor:
    """All blocks once, those between the first and the last `turns` times, the first one's output added each turn.

    The input and what the turn before made of it are averaged, so that the stream's scale does not grow with turns.
    """
    local = [None] * len(blocks) if local_BK is None else list(local_BK.unbind(-1))
    steps = list(zip(blocks, local, strict=True))
    for block, form in steps[:1]:
        x_BNW, nadh_BNW = block(x_BNW, nadh_BNW, tissue, form)
    entered = x_BNW
    for r in range(turns):
        if r:
            x_BNW = (x_BNW + entered) / 2
        for block, form in steps[1:-1]:
            x_BNW, nadh_BNW = block(x_BNW, nadh_BNW, tissue, form)
    for block, form in steps[1:][-1:]:
        x_BNW, nadh_BNW = block(x_BNW, nadh_BNW, tissue, form)
    return x_BNW
