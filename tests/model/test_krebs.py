"""Eq. 2: carbon is conserved, the loop turns, and the two forms are what their gates say."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stale_diffusion.errors import StaleError
from stale_diffusion.model.krebs import Forms, KrebsAttention, Tissue, attend, attend_within, within
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.rules import check_local
from stale_diffusion.model.transformer import Denoiser, Shape, Tokens, whole

STREAMS = {"scene": (6, 16, 6), "touch.vibration": (4, 8, 2), "smell": (3, 8, 3), "taste": (1, 8, 1)}


def network(**parts: object) -> Denoiser:
    torch.manual_seed(0)
    model = Denoiser(Shape(32, 4, 2, STREAMS, **parts))  # type: ignore[arg-type]
    for port in model.write.values():  # as if trained: before training the heads are zero
        torch.nn.init.normal_(port.weight, std=0.1)
    return model.eval()


def tokens() -> dict[str, Tokens]:
    generator = torch.Generator().manual_seed(0)
    return {
        n: whole(torch.randint(0, 2, (2, length, d), generator=generator) * 2 - 1, torch.full((2, length), 0.5))
        for n, (length, d, _) in STREAMS.items()
    }


def tissue(groups: list[int], batch: int = 2) -> Tissue:
    return Tissue(torch.ones(batch, 1, 1, len(groups), dtype=torch.bool), torch.tensor(groups))


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_carbon_is_conserved(seed: int, charge: bool, exhale: bool) -> None:
    """What goes in equals acetyl-CoA + NADH + CO2 to float32 rounding."""
    torch.manual_seed(seed)
    cycle = KrebsAttention(16, 2, 2, charge=charge, exhale=exhale)
    parts = tissue([0] * 8)
    pyruvate = torch.randn(2, 8, 16)
    made = cycle._decarboxylate(pyruvate, parts)
    assert torch.allclose(made.acetyl + made.nadh + made.co2, pyruvate, rtol=1e-6, atol=1e-6)
    assert bool(made.nadh.any()) == charge and bool(made.co2.any()) == exhale


def test_what_is_exhaled_is_the_mean_of_the_tokens_that_are_there() -> None:
    cycle = KrebsAttention(8, 1, 1, charge=False, exhale=True)
    assert cycle.exhale is not None
    torch.nn.init.constant_(cycle.exhale, 50.0)  # a share of one
    mask = torch.tensor([[True, True, False]])[:, None, None]
    x = torch.randn(1, 3, 8)
    made = cycle._decarboxylate(x, Tissue(mask, torch.zeros(3, dtype=torch.long)))
    assert torch.allclose(made.co2, x[:, :2].mean(1, keepdim=True), atol=1e-6)
    assert torch.allclose(made.acetyl[:, :2].mean(1), torch.zeros(1, 8), atol=1e-6)


def test_nadh_charges_the_gates_that_follow_and_no_other() -> None:
    model = network(charge=True)
    assert model.blocks[0].charged is None and model.blocks[-1].attention.charge is None
    before = model(tokens(), {}, PlotEncoder()(["a", "b"]))[0]["scene"]
    for block in model.blocks[1:]:
        torch.nn.init.normal_(block.charged)
    assert not torch.allclose(model(tokens(), {}, PlotEncoder()(["a", "b"]))[0]["scene"], before, atol=1e-3)


def test_one_turn_is_the_plain_stack_and_more_turns_change_the_answer() -> None:
    model, plot = network(turns=3), PlotEncoder()(["a", "b"])
    one, plain = model(tokens(), {}, plot, 1)[0]["scene"], network()(tokens(), {}, plot)[0]["scene"]
    assert torch.equal(one, plain)
    three = model(tokens(), {}, plot)[0]["scene"]
    assert not torch.allclose(one, three, atol=1e-3)
    assert torch.equal(three, model(tokens(), {}, plot, 3)[0]["scene"])


def test_attention_within_a_sense_is_attention_under_its_mask() -> None:
    q, k, v = torch.randn(3, 2, 2, 7, 8)
    parts = tissue([0, 0, 1, 1, 0, -1, -1])
    assert torch.allclose(attend_within(q, k, v, parts), attend(q, k, v, within(parts)), atol=1e-5)


def test_within_a_sense_others_have_no_say_but_the_plot_has() -> None:
    q, k, v = torch.randn(3, 1, 1, 4, 8)
    parts = tissue([0, 0, 1, -1], 1)
    before = attend_within(q, k, v, parts)
    for changed, moves in ((2, False), (1, True), (3, True)):
        other = v.clone()
        other[:, :, changed] += 1
        assert (not torch.equal(attend_within(q, k, other, parts)[:, :, 0], before[:, :, 0])) == moves


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_of_two_consecutive_blocks_at_most_one_is_local(seed: int, blocks: int) -> None:
    torch.manual_seed(seed)
    forms = Forms(8, blocks)
    torch.nn.init.normal_(forms.read.bias, std=3)
    gist = torch.randn(5, 8)
    soft = forms.train()(gist)
    assert bool((soft[:, 1:] + soft[:, :-1] <= 1 + 1e-6).all())
    hard = forms.eval()(gist)
    assert set(hard.unique().tolist()) <= {0.0, 1.0}
    check_local(hard)


def test_two_local_blocks_in_a_row_are_refused() -> None:
    with pytest.raises(StaleError, match="five phases"):
        check_local(torch.tensor([[0.0, 1.0, 1.0]]))


def test_the_plot_chooses_the_form_and_the_hard_form_is_the_soft_one_at_its_end() -> None:
    model = network(forms=True)
    assert model.forms is not None
    with torch.no_grad():
        model.forms.read.weight.zero_()
        model.forms.read.bias.copy_(torch.tensor([50.0, -50.0, 50.0, -50.0]))
    plot = PlotEncoder()(["rain", "fire"])
    with torch.no_grad():
        hard = model(tokens(), {}, plot)[0]["scene"]
    soft = model(tokens(), {}, plot)[0]["scene"]  # with a gradient: both forms, mixed by a gate that is 0 or 1
    assert torch.allclose(hard, soft, atol=1e-5)
    model.forms.read.bias.data.fill_(-50.0)
    assert not torch.allclose(model(tokens(), {}, plot)[0]["scene"], hard, atol=1e-3)


def test_each_movie_of_a_batch_has_its_own_form() -> None:
    model = network(forms=True)
    vectors, mask = PlotEncoder()(["rain on a window", "a campfire under pines"])
    assert model.forms is not None
    a, b = model.forms.eval()(vectors[:, 0])
    torch.nn.init.normal_(model.forms.read.weight, std=20.0)
    while torch.equal(a, b):
        torch.nn.init.normal_(model.forms.read.weight, std=20.0)
        a, b = model.forms(vectors[:, 0])
    both = {n: Tokens(t.bits, t.staleness, t.which) for n, t in tokens().items()}
    with torch.no_grad():
        together = model(both, {}, (vectors, mask))[0]["scene"]
        for i in range(2):
            one = {n: Tokens(t.bits[i : i + 1], t.staleness[i : i + 1], t.which) for n, t in both.items()}
            alone = model(one, {}, (vectors[i : i + 1], mask[i : i + 1]))[0]["scene"]
            assert torch.allclose(alone[0], together[i], atol=1e-4)
