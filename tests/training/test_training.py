"""Training: batches that follow from (seed, step), checkpoints that survive, and a resumed run that is the same run."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stale_diffusion.clips.shards import Example
from stale_diffusion.dreamscapes.corpus import clip, flat
from stale_diffusion.errors import StaleError
from stale_diffusion.model.weights import read_model, write_model
from stale_diffusion.training import checkpoint
from stale_diffusion.training.config import Config, Data, Model, Train, load_config
from stale_diffusion.training.data import Corpus, Sampler
from stale_diffusion.training.loop import rate_at, train

TINY = Train(steps=6, batch=4, warmup=2, log_steps=1, mix={"dream": 1.0})


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [clip(i, seed=3, segments=2, rendered=False) for i in range(8)]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def tiny(**changes: object) -> Config:
    return Config("tiny", Data(), Model(32, 1, 2), Train(**{**TINY.__dict__, **changes}))  # type: ignore[arg-type]


def test_a_clip_of_the_corpus_follows_from_its_seed_and_index(examples: list[Example]) -> None:
    again = clip(5, seed=3, segments=2, rendered=False)
    assert again.caption == examples[5].caption
    assert all(np.array_equal(again.bits[n], b) for n, b in examples[5].bits.items())
    assert clip(5, seed=4, segments=2, rendered=False).caption != again.caption


def test_a_batch_follows_from_seed_and_step_and_given_bits_are_true(examples: list[Example]) -> None:
    sampler = Sampler(Corpus(examples), {"dream": 1.0}, 16, seed=1)
    for step in range(6):
        one, other = sampler(step), Sampler(Corpus(examples), {"dream": 1.0}, 16, seed=1)(step)
        assert one.captions == other.captions
        for name, tokens in one.now.items():
            assert torch.equal(tokens.bits, other.now[name].bits)
            given = tokens.staleness == 0
            assert torch.equal(tokens.bits[given], one.truth[name][given])
    assert sampler(0).captions != sampler(1).captions


def test_some_given_bits_are_messed_up(examples: list[Example]) -> None:
    """Of half of the examples some given bits are wrong, at most a fifth; without it none is."""
    wrong = []
    for step in range(8):
        batch = Sampler(Corpus(examples), {"dream": 1.0}, 32, seed=1, mess_up=0.2)(step)
        for name, tokens in batch.now.items():
            given = (tokens.staleness == 0).all(-1)
            wrong += (tokens.bits[given] != batch.truth[name][given]).double().mean((1, 2)).tolist()
    assert 0.3 < np.mean([share > 0 for share in wrong]) < 0.7
    assert 0.05 < max(wrong) < 0.3


def test_the_rate_falls_along_an_arctangent() -> None:
    schedule = Train(steps=1000, warmup=0, decay="arctangent")
    rates = [rate_at(step, schedule) for step in range(1001)]
    assert rates[0] == pytest.approx(1) and rates[-1] == pytest.approx(0.02) and rates[500] == pytest.approx(0.51)
    assert all(a > b for a, b in itertools.pairwise(rates))
    steepest = max(range(1000), key=lambda k: rates[k] - rates[k + 1])
    assert abs(steepest - 500) < 2
    with pytest.raises(StaleError, match="sideways"):
        next(train(tiny(decay="sideways"), Corpus([]), Path("nowhere"), lambda: True))


def test_compiling_without_a_compiler_is_one_clear_error(
    examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StaleError, match="cannot be compiled"):
        next(train(tiny(compiled=True), Corpus(examples), tmp_path / "run", lambda: True))


def test_cartoons_are_flat() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 96, 160, 3)).astype(np.uint8)
    drawn = flat(pictures)
    assert drawn.shape == pictures.shape and len(np.unique(drawn)) <= 5
    fields = drawn.reshape(2, 12, 8, 20, 8, 3)
    assert (fields == fields[:, :, :1, :, :1]).all()


@pytest.mark.parametrize(
    "parts",
    [{"forms": True, "depth": 2}, {"turns": 2, "depth": 3}, {"self_conditioned": True}, {"loss": "cross_entropy"}],
)
def test_a_run_with_any_part_is_the_same_run_when_resumed(
    examples: list[Example], tmp_path: Path, parts: dict[str, object]
) -> None:
    config = tiny()
    model = Model(**{**config.model.__dict__, **parts})  # type: ignore[arg-type]
    config = Config("tiny", config.data, model, config.train)
    corpus = Corpus(examples)
    list(train(config, corpus, tmp_path / "whole", lambda: False))
    stops = iter([False, True])
    list(train(config, corpus, tmp_path / "twice", lambda: next(stops)))
    list(train(config, corpus, tmp_path / "twice", lambda: False))
    whole, twice = (checkpoint.latest(tmp_path / n) for n in ("whole", "twice"))
    assert whole is not None and twice is not None
    for name, tensor in whole[1]["model"].items():
        assert torch.equal(tensor, twice[1]["model"][name]), name


def test_bits_are_as_stale_as_their_tokens_say(examples: list[Example]) -> None:
    sampler = Sampler(Corpus(examples), {"dream": 1.0}, 64, seed=2)
    batch = sampler(0)
    tokens, truth = batch.now["touch.vibration"], batch.truth["touch.vibration"]
    agree = (tokens.bits * truth).double().mean(-1).mean(-1)
    expected = torch.sin((1 - tokens.staleness[:, 0]) * torch.pi / 2)
    assert torch.allclose(agree, expected, atol=0.08)


def test_clips_without_a_scene_or_a_sense_are_learnt_from_where_they_can(examples: list[Example]) -> None:
    bits = {n: b for n, b in examples[0].bits.items() if n != "scene"}
    bits |= {"hearing": np.ones((2, 3, 8), np.int8), "sight.coarse": np.ones((2, 3, 8), np.int8)}
    silent = {n: b for n, b in bits.items() if n not in ("hearing", "touch.vibration", "touch.air")}
    clips = [Example(f"clip-{i}", "a clip", None, b) for i, b in enumerate((bits, silent))]
    batch = Sampler(Corpus(clips), {"complete": 1.0}, 16, seed=0)(0)
    lacking = ~batch.known["touch.vibration"]
    assert lacking.any() and not lacking.all()
    assert torch.all(batch.now["touch.vibration"].staleness[lacking] == 1)


def test_a_job_without_examples_is_refused(examples: list[Example]) -> None:
    with pytest.raises(StaleError, match="paint"):
        Sampler(Corpus(examples), {"paint": 1.0}, 4, seed=0)


def test_a_run_that_is_stopped_and_resumed_is_the_same_run(examples: list[Example], tmp_path: Path) -> None:
    corpus = Corpus(examples)
    list(train(tiny(), corpus, tmp_path / "whole", lambda: False))
    for stop in (2, 5):  # stopped after step 2, and again after step 5
        seen = itertools.count(1)
        first = checkpoint.latest(tmp_path / "parts")
        begun = int(first[0]["step"]) if first else 0
        list(train(tiny(), corpus, tmp_path / "parts", lambda n=seen, b=begun, s=stop: b + next(n) >= s))
    list(train(tiny(), corpus, tmp_path / "parts", lambda: False))
    whole, parts = checkpoint.latest(tmp_path / "whole"), checkpoint.latest(tmp_path / "parts")
    assert whole and parts and whole[0]["step"] == parts[0]["step"] == 6
    for group in ("model", "average", "optimizer"):
        assert all(torch.equal(v, parts[1][group][n]) for n, v in whole[1][group].items()), group


def test_training_learns(examples: list[Example], tmp_path: Path) -> None:
    config = tiny(steps=60, batch=8)
    reports = list(train(config, Corpus(examples), tmp_path, lambda: False))
    assert reports[-1].losses["smell"] < 0.7 * reports[0].losses["smell"]
    model, digest = read_model(tmp_path)
    assert len(digest) == 64 and set(model.shape.streams) == set(examples[0].bits)


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"model": {"w": torch.full((2,), float(step))}}, {})
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["step-000000002", "step-000000003"]
    (tmp_path / "step-000000003" / "model.safetensors").write_bytes(b"rot")
    found = checkpoint.latest(tmp_path)
    assert found is not None and found[0]["step"] == 2 and [p.name for p in found[2]] == ["step-000000003"]


def test_a_model_file_comes_back_and_a_foreign_one_is_refused(examples: list[Example], tmp_path: Path) -> None:
    list(train(tiny(steps=1), Corpus(examples), tmp_path / "run", lambda: False))
    model, _ = read_model(tmp_path / "run")
    path = tmp_path / "m.safetensors"
    write_model(model.state_dict(), model.shape.to_json(), path, {"licence": "CC0-1.0"})
    back, _ = read_model(path)
    assert all(torch.allclose(v, back.state_dict()[n], atol=1e-3) for n, v in model.state_dict().items())
    for data in (b"", b"not a model", path.read_bytes()[:-100]):
        path.write_bytes(data)
        with pytest.raises(StaleError):
            read_model(path)
    with pytest.raises(StaleError, match="no model"):
        read_model(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "says"),
    [("[train]\nstep = 3", "step"), ("[model]\nwidth = 'x'", "width"), ("[modle]", "modle"), ("width = = 3", "config")],
)
def test_a_wrong_config_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(StaleError, match=says):
        load_config(path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs").glob("*.toml")), ids=lambda p: p.stem)
def test_every_config_is_read(path: Path) -> None:
    assert load_config(path).train.steps > 0


@pytest.mark.parametrize(("job", "lead"), [("heard", "hearing"), ("seen", "sight.coarse")])
def test_what_leads_a_scene_is_given(examples: list[Example], job: str, lead: str) -> None:
    performed = [
        Example(
            f"p-{i}", "a plot", None, e.bits | {lead: np.where(np.arange(8) % 2, 1, -1) * np.ones((2, 3, 8), np.int8)}
        )
        for i, e in enumerate(examples)
    ]
    for step in range(4):
        batch = Sampler(Corpus(performed), {job: 1.0}, 16, seed=1)(step)
        assert set(batch.now) == {"scene", lead}
        assert not batch.now[lead].staleness.any() and torch.equal(batch.now[lead].bits, batch.truth[lead])
        assert batch.now["scene"].staleness.any()


def test_a_model_without_balance_begins_a_training_with_it(examples: list[Example], tmp_path: Path) -> None:
    """The weights that both have are taken over bit by bit; the new stream's are new and learn."""
    older = [replace(e, bits={n: b for n, b in e.bits.items() if n != "balance"}) for e in examples]
    list(train(tiny(steps=2), Corpus(older), tmp_path / "old", lambda: False))
    before, _ = read_model(tmp_path / "old")
    assert "balance" not in before.shape.streams
    config = tiny(steps=1, start=str(tmp_path / "old"), rate=0.0)
    list(train(config, Corpus(examples), tmp_path / "new", lambda: False))
    after, _ = read_model(tmp_path / "new")
    new = {n for n in after.state_dict() if "balance" in n}
    assert {n.split(".")[0] for n in new} == {"read", "write", "place"}
    for name, value in before.state_dict().items():
        assert torch.allclose(after.state_dict()[name], value, atol=1e-6), name
    report = list(train(tiny(steps=2, start=str(tmp_path / "old")), Corpus(examples), tmp_path / "on", lambda: False))
    assert all("balance" in p.losses for p in report)


def test_some_examples_may_lack_an_additional_sense(examples: list[Example]) -> None:
    mixed = [replace(e, bits={n: b for n, b in e.bits.items() if n != "balance" or i % 2}) for i, e in
             enumerate(examples)]  # fmt: skip
    batch = Sampler(Corpus(mixed), {"dream": 1.0}, 32, seed=1)(0)
    lacking = ~batch.known["balance"]
    assert 0 < int(lacking.sum()) < 32
    assert bool((batch.now["balance"].staleness[lacking] == 1).all())
    older = [replace(e, bits={n: b for n, b in e.bits.items() if n != "balance"}) for e in examples]
    assert "balance" not in Sampler(Corpus(older), {"dream": 1.0}, 4, seed=1)(0).now
