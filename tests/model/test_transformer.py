"""The denoiser: shapes, the channel's own answer before training, and what it must not depend on."""

import pytest
import torch

from stale_diffusion.channel import COSINE
from stale_diffusion.hinge import probability
from stale_diffusion.model.krebs import attend
from stale_diffusion.model.plot import PIECES, PlotEncoder
from stale_diffusion.model.transformer import Denoiser, Reader, Shape, Tokens, fixed_vector, whole
from stale_diffusion.senses.transform import gray_encode
from stale_diffusion.streams import FIELDS
from stale_diffusion.streams import STREAMS as ALL

STREAMS = {"scene": (6, 16, 6), "touch.vibration": (4, 8, 2), "sight.fine": (8, 8, 1)}


def network(trained: bool = True) -> Denoiser:
    torch.manual_seed(0)
    model = Denoiser(Shape(32, 2, 2, STREAMS))
    if trained:  # as if: before training the heads are zero
        for port in model.write.values():
            torch.nn.init.normal_(port.weight, std=0.1)
    return model.eval()


def tokens(name: str, t: float, batch: int = 2, seed: int = 0) -> Tokens:
    length, width, _ = STREAMS[name]
    generator = torch.Generator().manual_seed(seed)
    bits = torch.randint(0, 2, (batch, length, width), generator=generator) * 2 - 1
    return whole(bits.to(torch.int8), torch.full((batch, length), t))


PLOT = (torch.zeros(2, 1 + PIECES, 128), torch.zeros(2, 1 + PIECES, dtype=torch.bool))


def test_before_training_each_bit_says_what_the_channel_says_of_it() -> None:
    x = tokens("scene", 0.4)
    margins, _ = network(trained=False)({"scene": x}, {}, PLOT)
    rho = COSINE.rho(torch.tensor(0.4, dtype=torch.float64))
    assert torch.allclose(probability(margins["scene"]), (1 + rho * x.bits) / 2, atol=1e-6)


def test_any_subset_of_streams_and_tokens_is_read_and_answered() -> None:
    model = network()
    some = Tokens(torch.ones(2, 3, 8), torch.full((2, 3), 0.5), torch.tensor([1, 5, 6]))
    margins, score = model({"touch.vibration": tokens("touch.vibration", 0.5), "sight.fine": some}, {}, PLOT)
    assert {n: tuple(m.shape) for n, m in margins.items()} == {"touch.vibration": (2, 4, 8), "sight.fine": (2, 3, 8)}
    assert score.shape == (2,)


def test_the_order_of_streams_does_not_matter_but_past_and_plot_do() -> None:
    model = network()
    a, b = tokens("scene", 0.5), tokens("touch.vibration", 0.3)
    one = model({"scene": a, "touch.vibration": b}, {}, PLOT)[0]["scene"]
    other = model({"touch.vibration": b, "scene": a}, {}, PLOT)[0]["scene"]
    assert torch.allclose(one, other, atol=1e-5)
    after = model({"scene": a, "touch.vibration": b}, {"scene": tokens("scene", 0.0, seed=3)}, PLOT)[0]["scene"]
    assert not torch.allclose(one, after, atol=1e-3)
    plotted = model({"scene": a, "touch.vibration": b}, {}, PlotEncoder()(["rain", "fire"]))[0]["scene"]
    assert not torch.allclose(one, plotted, atol=1e-3)


def test_a_wholly_stale_bit_has_no_say() -> None:
    model = network()
    one, other = (model({"scene": tokens("scene", 1.0, seed=s)}, {}, PLOT)[0]["scene"] for s in (0, 1))
    assert torch.allclose(one, other, atol=1e-5)


def test_attention_written_out_is_the_fused_one() -> None:
    q, k, v = torch.randn(3, 2, 2, 5, 8).unbind(0)
    mask = torch.tensor([[True] * 5, [True, True, False, True, False]])[:, None, None]
    with torch.no_grad():
        fused = attend(q, k, v, mask)
    assert torch.allclose(attend(q, k, v, mask), fused, atol=1e-6)


def test_the_crying_joy_token_is_fixed_and_its_code_point_s_own() -> None:
    model = network()
    assert "joy" not in dict(model.named_parameters())
    assert torch.equal(model.joy, fixed_vector(0x1F602, 32))
    assert fixed_vector(0x1F602, 32).norm() == pytest.approx(32**0.5)
    assert not torch.allclose(fixed_vector(0x1F602, 32), fixed_vector(0x1F644, 32))


def test_every_parameter_gets_a_gradient() -> None:
    model = network()
    now = {n: tokens(n, 0.5) for n in STREAMS}
    margins, score = model(now, {"scene": tokens("scene", 0.0)}, PlotEncoder()(["a", "shore at night"]))
    (sum(m.square().mean() for m in margins.values()) + score.square().mean()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_plots_of_any_kind_are_read() -> None:
    vectors, mask = PlotEncoder()(["", "Rain on a tin roof", "雨" * 50_000, "\x00 \ud7ff 🤪", "rain on a tin roof"])
    assert not mask[0].any() and mask[1].any()
    assert torch.isfinite(vectors).all()
    assert torch.equal(vectors[1], vectors[4])


def test_a_number_in_gray_code_is_read_by_one_matrix() -> None:
    reader = Reader((1, 10, 1), [[6, 3, 1]], 2)
    weights = torch.zeros(20, 2)
    weights[10:16, 0] = 2.0 ** torch.arange(4, -2, -1)  # half a level each way from the middle
    weights[16:19, 1] = 2.0 ** torch.arange(1, -2, -1)
    reader.port.weight.data = weights[None]
    first, second = torch.randint(0, 64, (50,)), torch.randint(0, 8, (50,))
    codes = [gray_encode(v.numpy(), n) for v, n in ((first, 6), (second, 3), (first % 2, 1))]
    bits = torch.cat([torch.from_numpy(c) for c in codes], -1)[None]
    read = reader(bits, torch.ones(1, 50, 1))[0]
    assert torch.allclose(read, torch.stack([first - 31.5, second - 3.5], -1))


def test_the_fields_of_every_stream_fill_its_tokens() -> None:
    sizes = {s.name: s for s in ALL}
    assert {"scene", "touch.vibration", "touch.air", "smell", "taste", "hearing", "sight.coarse"} <= FIELDS.keys()
    for name, rows in FIELDS.items():
        assert len(rows) == sizes[name].kinds and all(sum(row) == sizes[name].bits for row in rows)


def test_waves_are_sines_of_the_numbers_and_begin_without_a_say() -> None:
    torch.manual_seed(0)
    reader = Reader((1, 9, 1), [[1, 8]], 16, waves=3)
    values = torch.tensor([0, 1, 64, 128, 255])
    code = torch.from_numpy(gray_encode(values.numpy(), 8)).float()
    x_BLD = torch.cat([torch.ones(5, 1), code], 1)[:, None]
    ones = (x_BLD > 0).long()
    binary = torch.cat([ones[..., :1], ones[..., 1:].cumsum(-1) % 2], -1) * 2 - 1
    waves = reader._waves(binary, torch.ones(5, 1, 1))
    phase = torch.pi * values[:, None] / 256 * torch.arange(1, 4)
    assert torch.allclose(waves[:, 0], torch.cat([phase.sin(), phase.cos()], 1), atol=1e-5)
    assert not reader._waves(binary, torch.zeros(5, 1, 1)).any()  # a wholly stale number has no say
    plain = Reader((1, 9, 1), [[1, 8]], 16)
    plain.port.load_state_dict(reader.port.state_dict())
    assert torch.equal(plain(x_BLD, torch.ones(5, 1, 1)), reader(x_BLD, torch.ones(5, 1, 1)))
