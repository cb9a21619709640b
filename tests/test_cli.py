"""The command line as a stranger uses it: what works, and one clear error for what does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stale_diffusion.model.transformer import Denoiser, Shape, sizes_of
from stale_diffusion.model.weights import write_model
from stale_diffusion.streams import STREAMS

CLIP = Path(__file__).parent / "data/sea_island_05.mp4"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights: these tests are about the command line."""
    torch.manual_seed(1)
    shape = Shape(32, 1, 2, sizes_of(STREAMS))
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    write_model(Denoiser(shape).state_dict(), shape.to_json(), path, {})
    return path


def run(*words: object, code: int = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "stale_diffusion", *map(str, words)],
        capture_output=True, text=True, env=os.environ | (env or {}), timeout=300,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def small(model: Path) -> list[object]:
    return ["--model", model, "--steps", 2, "--size", "64x36", "--fps", 6]


def test_generate_inspect_export(model: Path, tmp_path: Path) -> None:
    movie, sheet = tmp_path / "new/rain.mkv", tmp_path / "new/rain.png"
    done = run("generate", "slow rain", "-o", movie, "--seconds", 3, "--seed", 7, "--sheet", sheet, *small(model))
    assert done.stdout == ""
    for word in ("seed 7", "step  2/2", "xz bits", "cost", "Ke$has", str(movie), str(sheet), "performed"):
        assert word in done.stderr
    found = json.loads(run("inspect", movie, "--json").stdout)
    assert found["recipe"]["seed"] == 7 and found["recipe"]["plot"] == "slow rain"
    assert "smell" in run("inspect", movie).stdout
    files = [Path(p).name for p in run("export", movie, "--to", tmp_path / "out").stdout.split()]
    for ending in (".hjif", ".ahap", ".haptic", ".sem.xml", ".aroma.json", ".srt", "timeline.json"):
        assert any(f.endswith(ending) for f in files), ending
    assert sorted(p.name for p in movie.parent.iterdir()) == ["rain.mkv", "rain.png"]


def test_complete_refuses_at_once_what_the_container_cannot_hold(model: Path, tmp_path: Path) -> None:
    done = run("complete", CLIP, "-o", tmp_path / "a.webm", "--model", model, code=2)
    assert "cannot hold the video track (h264)" in done.stderr and "ffmpeg -i" in done.stderr
    assert "seed" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_stills_loops_and_webm(model: Path, tmp_path: Path) -> None:
    for ending in ("png", "webp", "webm"):
        run("generate", "slow rain", "-o", tmp_path / f"rain.{ending}", "--seconds", 2, "--seed", 7, *small(model))
    assert (tmp_path / "rain.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "rain.webp").read_bytes()[8:12] == b"WEBP"
    found = json.loads(run("inspect", tmp_path / "rain.webm", "--json").stdout)
    assert set(found["tracks"]) == {"touch", "smell", "taste", "balance"}
    done = run("export", tmp_path / "rain.webm", "--to", tmp_path / "out", "--formats", "aroma,card")
    assert [Path(line).name for line in done.stdout.split()] == ["movie.aroma.json", "movie.card.png", "movie.card.pdf"]


def test_the_plot_comes_through_the_environment_as_it_is(model: Path, tmp_path: Path) -> None:
    plot = "it's raining in Ke$ha's \"garden\"; `true` $(true)"
    env = {"STALE_DIFFUSION_PLOT": plot, "STALE_DIFFUSION_SECONDS": "1"}
    run("generate", "-o", tmp_path / "m.mkv", *small(model), env=env)
    assert json.loads(run("inspect", tmp_path / "m.mkv", "--json").stdout)["recipe"]["plot"] == plot


def test_complete_keeps_every_packet_of_the_clip(model: Path, tmp_path: Path) -> None:
    from stale_diffusion.media import packet_hashes

    out = tmp_path / "done.mkv"
    run("complete", CLIP, "-o", out, "--model", model, "--steps", 2, "--seed", 1)
    assert packet_hashes(out)[:2] == packet_hashes(CLIP)[:2]
    found = json.loads(run("inspect", out, "--json").stdout)
    assert found["recipe"]["source"] == CLIP.name and found["recipe"]["plot"]


def test_the_best_of_some_within_a_budget(model: Path, tmp_path: Path) -> None:
    """Eq. 1: candidates, budget and Ke$has; the seed that is named makes the same movie alone."""
    best, alone = tmp_path / "best.mkv", tmp_path / "alone.mkv"
    options = ["--seconds", 1, "--until-cake", "--sharpen", 0.5]
    done = run("generate", "rain", "-o", best, "--seed", 3, "--best-of", 3, "--budget", 0.5, *options, *small(model))
    assert "$0.5 buys 2 steps a segment, best of 3" in done.stderr
    recipe = json.loads(run("inspect", best, "--json").stdout)["recipe"]
    assert f"seed {recipe['seed']} is the best of 3" in done.stderr and recipe["seed"] in (3, 4, 5)
    run("generate", "rain", "-o", alone, "--seed", recipe["seed"], *options, *small(model))
    again = json.loads(run("inspect", alone, "--json").stdout)["recipe"]
    assert again["xz_bits"] == recipe["xz_bits"] and again["cost_dollars"] < recipe["cost_dollars"]


def test_a_movie_that_is_not_worth_its_price_is_refused_and_not_written(model: Path, tmp_path: Path) -> None:
    done = run("generate", "rain", "-o", tmp_path / "m.mkv", "--seconds", 1, "--min-kesha", 1e15, *small(model), code=1)
    assert "Ke$has" in done.stderr and "--min-kesha" in done.stderr
    assert not (tmp_path / "m.mkv").exists()
    done = run("generate", "rain", "-o", tmp_path / "m.mkv", "--budget", 1e-12, *small(model), code=1)
    assert "does not buy" in done.stderr and "--budget" in done.stderr


BAD = [
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--sampler", "gan"], 2, "ancestral"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--best-of", "0"], 2, "--best-of"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--by", "luck"], 2, "score"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--sharpen", "nan"], 2, "--sharpen"),
    (["generate", "rain", "-o", "x.txt"], 2, "x.txt"),
    (["generate", "rain", "-o", "{tmp}"], 2, "mkv"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--seconds", "-3"], 2, "-3"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--steps", "0"], 2, "--steps"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--size", "huge"], 2, "640x360"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--size", "641x360"], 2, "even"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--fps", "0"], 2, "--fps"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--model", "{tmp}/absent"], 2, "absent"),
    (["generate", "rain", "-o", "{tmp}/m.mkv", "--model", "{tmp}/text.mp4"], 1, "not a model"),
    (["complete", "{tmp}/absent.mp4", "-o", "{tmp}/m.mkv"], 2, "absent.mp4"),
    (["complete", "{tmp}", "-o", "{tmp}/m.mkv"], 2, "folder"),
    (["complete", "{tmp}/empty.mp4", "-o", "{tmp}/m.mkv"], 1, "empty"),
    (["complete", "{tmp}/text.mp4", "-o", "{tmp}/m.mkv"], 1, "text.mp4"),
    (["inspect", "{tmp}/text.mp4"], 1, "text.mp4"),
    (["export", "{tmp}/text.mp4", "--to", "{tmp}/o"], 1, "text.mp4"),
    (["train", "{tmp}/absent.toml"], 2, "absent.toml"),
    (["ingest", "{tmp}/absent", "-o", "{tmp}/s"], 2, "absent"),
    (["dreamscapes", "render", "moon", "-o", "{tmp}/d"], 2, "moon"),
]


@pytest.mark.parametrize(("words", "code", "says"), BAD, ids=[" ".join(w) for w, *_ in BAD])
def test_bad_input_is_one_clear_error(words: list[str], code: int, says: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    before = sorted(p.name for p in tmp_path.iterdir())
    words = [w.format(tmp=tmp_path) for w in words]
    if words[0] == "generate" and "--model" not in words:
        words += ["--model", str(model)]
    done = run(*words, code=code)
    assert says in done.stderr
    assert "mend:" in done.stderr or "why:" in done.stderr or "Usage" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_help_and_version_answer(model: Path) -> None:
    assert "generate" in run("--help").stdout
    assert "--seed" in run("generate", "--help").stdout


def test_ctrl_c_leaves_something_that_goes_on(model: Path, tmp_path: Path) -> None:
    import signal
    import time

    out = tmp_path / "long.mkv"
    words = [sys.executable, "-m", "stale_diffusion", "generate", "rain", "-o", str(out), "--seconds", "400",
             "--model", str(model), "--steps", "4"]  # fmt: skip
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "segment 3/" in line:
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert "run the same command again" in rest and "Traceback" not in rest
    # a shell shows both as 130: where the signal meets an import, CPython ends by it whoever caught it
    assert process.wait(60) in (130, -signal.SIGINT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["long.mkv.unfinished"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    begun = [next(process.stderr) for _ in range(3)]
    process.kill()
    assert any("going on with" in line for line in begun) and any(
        "segment" in line and "segment 1/" not in line for line in begun
    )


SMALL_TRAINING = """
[data]
drawn = 16
segments = 2
performed = 0
[model]
width = 32
depth = 1
heads = 2
[train]
steps = 100000
batch = 4
log_steps = 1
mix = { dream = 1.0 }
"""


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_training_that_is_told_to_stop_saves_and_goes_on(number: str, code: int, tmp_path: Path) -> None:
    import signal

    config, folder = tmp_path / "small.toml", tmp_path / "run"
    config.write_text(SMALL_TRAINING)
    words = [sys.executable, "-m", "stale_diffusion", "train", str(config), "--run", str(folder), "--workers", "1"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any("3/100000" in line for line in process.stdout)
    process.send_signal(getattr(signal, number))
    _, rest = process.communicate(timeout=60)
    assert process.returncode == code
    assert "go on with" in rest and "Traceback" not in rest
    [saved] = folder.glob("step-*")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    first = next(line for line in process.stdout if "/100000" in line and "loss" in line)
    process.kill()
    assert int(first.split("/")[0]) == int(saved.name.split("-")[1]) + 1


def test_a_folder_of_clips_becomes_shards(tmp_path: Path) -> None:
    from stale_diffusion.clips.shards import read_shards

    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/text.mp4").write_text("no clip")
    for suffix in (".mp4", ".info.json"):
        (tmp_path / f"clips/sea{suffix}").write_bytes(CLIP.with_suffix(suffix).read_bytes())
    done = run("ingest", tmp_path / "clips", "-o", tmp_path / "shards")
    assert "1 ingested, 0 kept, 1 skipped" in done.stdout and "text.mp4" in done.stderr
    [example] = read_shards(tmp_path / "shards")
    assert "hearing" in example.bits and example.meta["derived"]["touch"]
    assert "1 kept" in run("ingest", tmp_path / "clips", "-o", tmp_path / "shards").stdout


def test_a_place_is_rendered_with_its_ground_truth(tmp_path: Path) -> None:
    words = (
        "dreamscapes",
        "render",
        "kettle and coffee",
        "-o",
        tmp_path,
        "--hours",
        0.001,
        "--size",
        "64x36",
        "--fps",
        2,
    )
    movie, card = (Path(line) for line in run(*words).stdout.splitlines())
    found = json.loads(run("inspect", movie, "--json").stdout)
    assert found["seconds"] == pytest.approx(20, abs=0.1) and found["recipe"]["plot"]
    felt = ("touch", "smell", "taste", "balance")
    assert {n: t["origin"] for n, t in found["tracks"].items()} == dict.fromkeys(felt, "derived")
    assert "CC0" in card.read_text()
