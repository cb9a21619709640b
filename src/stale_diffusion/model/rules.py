"""Feng Shui: the architecture's rules, checked where a network is built; each refusal names the nearest valid value.

    eight trigrams   widths, head sizes and the padded sequence are multiples of 8: what matrix units want
    even flow        at the start no block's activations or gradients are more than twice another's: qi neither
                     stagnates nor rushes
    five phases      no sense without a path to every other in two blocks, whatever the plot gates
    no clutter       no parameter without a gradient

The first and the third can be read off a shape (`check`); the others take a batch to see (`flow`, `clutter`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stale_diffusion.errors import StaleError
from stale_diffusion.hinge import ARMS

if TYPE_CHECKING:
    from stale_diffusion.model.transformer import Shape

TRIGRAMS = 8
EVEN = 2.0


def padded(length: int) -> int:
    """The next multiple of eight."""
    return length + -length % TRIGRAMS


def check(shape: Shape) -> None:
    """Refuse a shape that breaks a rule.

    Raises:
        StaleError: with the rule's name and the nearest valid value.
    """
    if shape.width < TRIGRAMS or shape.width % TRIGRAMS:
        _refuse("eight trigrams", f"width {shape.width}", "a multiple of 8", f"width = {_nearest(shape.width)}")
    if shape.heads < 1 or shape.width % (TRIGRAMS * shape.heads):
        sizes = [h for h in range(1, shape.width // TRIGRAMS + 1) if shape.width % (TRIGRAMS * h) == 0]
        best = min(sizes, key=lambda h: abs(h - shape.heads))
        _refuse("eight trigrams", f"{shape.heads} heads of width {shape.width}", "heads of a multiple of 8",
                f"heads = {best}")  # fmt: skip
    for name, (_, bits, _) in shape.streams.items():
        if bits % TRIGRAMS:
            _refuse("eight trigrams", f"{bits} bits a token of {name}", "a multiple of 8", f"{padded(bits)} bits")
    if shape.depth < 1:
        _refuse("five phases", f"depth {shape.depth}", "at least one block", "depth = 1")
    if shape.forms and shape.depth < 2:
        _refuse("five phases", f"depth {shape.depth} with two forms", "two blocks, of which one is vehicular",
                "depth = 2")  # fmt: skip
    if shape.turns < 1 or (shape.turns > 1 and shape.depth < 3):
        _refuse("even flow", f"{shape.turns} turns of {max(0, shape.depth - 2)} blocks", "a turn, and blocks to turn",
                "turns = 1" if shape.turns < 1 else "depth = 3")  # fmt: skip
    if shape.charge and shape.depth < 2:
        _refuse("no clutter", "NADH of a single block", "a later block whose gates it charges", "depth = 2")
    if shape.loss not in ARMS:
        _refuse("no clutter", f"the loss {shape.loss!r}", f"one of {', '.join(ARMS)}", 'loss = "cr_hinge"')
    if shape.token not in ("none", "learnable") and not _is_code_point(shape.token):
        _refuse("no clutter", f"the token {shape.token!r}", '"U+...", "learnable" or "none"', 'token = "U+1F602"')


def check_local(local_BK: Tensor) -> None:
    """Refuse gates under which two consecutive blocks are local (five phases)."""
    hard = local_BK > 0.5
    if bool((hard[:, 1:] & hard[:, :-1]).any()):
        _refuse("five phases", "two consecutive blocks within one sense", "at most one of two", "let one be vehicular")


def flow(blocks: Sequence[nn.Module], run: Callable[[], Tensor]) -> tuple[list[float], list[float]]:
    """The scale of activations and of their gradients after each block, root mean squares, first block to last.

    Args:
        blocks: whose first output is the stream.
        run: forward pass, returning the loss.
    """
    seen: dict[int, list[Tensor]] = {i: [] for i in range(len(blocks))}

    def keep(i: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: tuple[Tensor, Tensor]) -> None:
            output[0].retain_grad()
            seen[i].append(output[0])

        return hook

    handles = [block.register_forward_hook(keep(i)) for i, block in enumerate(blocks)]
    try:
        torch.autograd.backward(run())
    finally:
        for handle in handles:
            handle.remove()
    last = [found[-1] for found in seen.values()]
    grads = [x.grad.square().mean().sqrt().item() for x in last if x.grad is not None]
    return [x.detach().square().mean().sqrt().item() for x in last], grads


def check_flow(scales: Sequence[float]) -> None:
    """Refuse scales of which one is more than twice another."""
    if max(scales) > EVEN * min(scales):
        _refuse("even flow", f"scales from {min(scales):.3g} to {max(scales):.3g}", "within a factor of two",
                "smaller initial weights of the blocks' outputs")  # fmt: skip


def check_clutter(model: nn.Module) -> None:
    """Refuse a model of which a parameter has no gradient, after a backward pass that asked for every stream."""
    idle = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    if idle:
        _refuse("no clutter", f"{idle[0]} without a gradient", "all parameters of use", f"remove {', '.join(idle[:3])}")


def _nearest(width: int) -> int:
    return max(TRIGRAMS, TRIGRAMS * round(width / TRIGRAMS))


def _is_code_point(text: str) -> bool:
    try:
        return text.startswith("U+") and 0 <= int(text[2:], 16) <= 0x10FFFF
    except ValueError:
        return False


def _refuse(rule: str, found: str, wanted: str, valid: str) -> None:
    raise StaleError(f"Feng Shui, {rule}: {found}.", f"The rule asks for {wanted}.", valid, usage=True)
