"""Feng Shui: each rule, and a network that breaks it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from stale_diffusion.errors import StaleError
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.rules import check_clutter, check_flow, flow, padded
from stale_diffusion.model.transformer import Denoiser, Shape, whole

STREAMS = {"scene": (6, 16, 6), "touch.vibration": (4, 8, 2)}


@pytest.mark.parametrize(
    ("shape", "rule", "valid"),
    [
        (lambda: Shape(100, 2, 4, STREAMS), "eight trigrams", "width = 96"),
        (lambda: Shape(96, 2, 5, STREAMS), "eight trigrams", "heads = 4"),
        (lambda: Shape(32, 2, 2, {"scene": (6, 15, 6)}), "eight trigrams", "16 bits"),
        (lambda: Shape(32, 0, 2, STREAMS), "five phases", "depth = 1"),
        (lambda: Shape(32, 1, 2, STREAMS, forms=True), "five phases", "depth = 2"),
        (lambda: Shape(32, 2, 2, STREAMS, turns=0), "even flow", "turns = 1"),
        (lambda: Shape(32, 2, 2, STREAMS, turns=3), "even flow", "depth = 3"),
        (lambda: Shape(32, 1, 2, STREAMS, charge=True), "no clutter", "depth = 2"),
        (lambda: Shape(32, 2, 2, STREAMS, loss="gan"), "no clutter", "cr_hinge"),
        (lambda: Shape(32, 2, 2, STREAMS, token="joy"), "no clutter", "U+1F602"),
    ],
)
def test_a_shape_that_breaks_a_rule_is_refused_with_the_nearest_valid_value(
    shape: Callable[[], Shape], rule: str, valid: str
) -> None:
    with pytest.raises(StaleError, match=rule) as found:
        Denoiser(shape())
    assert valid in str(found.value.mend)


def loss(model: Denoiser) -> Callable[[], Tensor]:
    """Every stream, so that every parameter is asked for."""
    generator = torch.Generator().manual_seed(0)
    bits = {n: torch.randint(0, 2, (4, s, d), generator=generator) * 2 - 1 for n, (s, d, _) in STREAMS.items()}
    now = {n: whole(b, torch.rand(b.shape[:2], generator=generator)) for n, b in bits.items()}
    past = {n: whole(b, torch.zeros(b.shape[:2])) for n, b in bits.items()}

    def run() -> Tensor:
        margins, score = model(now, past, PlotEncoder()(["rain", "fire", "snow", "sea"]))
        out: Tensor = sum(model.arm.loss(m, bits[n].float()).mean() for n, m in margins.items())  # type: ignore[assignment]
        return out + score.mean()

    return run


def network(depth: int = 8, **parts: object) -> Denoiser:
    torch.manual_seed(0)
    model = Denoiser(Shape(64, depth, 4, STREAMS, **parts))  # type: ignore[arg-type]
    for port in model.write.values():  # zero heads, as at the start of a training, would stop every gradient
        nn.init.normal_(port.weight, std=64**-0.5)
    return model


@pytest.mark.parametrize("parts", [{}, {"charge": True, "exhale": True}, {"turns": 4}, {"forms": True}])
@pytest.mark.parametrize("depth", [3, 12])
def test_qi_flows_evenly_from_first_block_to_last(depth: int, parts: dict[str, object]) -> None:
    model = network(depth, **parts)
    activations, gradients = flow([*model.blocks], loss(model))
    assert len(activations) == depth == len(gradients)
    check_flow(activations)
    check_flow(gradients)


def test_a_network_whose_qi_rushes_is_refused() -> None:
    model = network()
    for block in model.blocks:
        nn.init.normal_(block.down.weight, std=1.0)
    activations, _ = flow([*model.blocks], loss(model))
    with pytest.raises(StaleError, match="even flow"):
        check_flow(activations)


@pytest.mark.parametrize("parts", [{}, {"charge": True, "exhale": True}, {"turns": 2}, {"forms": True}])
def test_there_is_no_clutter(parts: dict[str, object]) -> None:
    model = network(4, **parts)
    torch.autograd.backward(loss(model)())
    check_clutter(model)


def test_a_parameter_that_nothing_reads_is_clutter() -> None:
    model = network(2)
    model.register_parameter("spare", nn.Parameter(torch.ones(3)))
    torch.autograd.backward(loss(model)())
    with pytest.raises(StaleError, match="spare"):
        check_clutter(model)


@pytest.mark.parametrize(("length", "found"), [(1, 8), (8, 8), (9, 16), (104, 104)])
def test_sequences_are_padded_to_eight(length: int, found: int) -> None:
    assert padded(length) == found


def test_padding_changes_no_answer() -> None:
    """One piece more of a plot, and the same tokens: what is masked has no say."""
    model = network(2).eval()
    bits = torch.ones(1, 6, 16)
    vectors, mask = PlotEncoder()(["rain"])
    now = {"scene": whole(bits, torch.full((1, 6), 0.5))}
    short = model(now, {}, (vectors, mask))[0]["scene"]
    longer = torch.cat([vectors, torch.randn(1, 9, 128)], 1), torch.cat([mask, torch.zeros(1, 9, dtype=torch.bool)], 1)
    assert torch.allclose(model(now, {}, longer)[0]["scene"], short, atol=1e-5)
