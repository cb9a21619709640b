"""docs/senses.md, done exactly: a file and a line in a copy of the package, and a seventh sense works everywhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys
from pathlib import Path
import numpy as np
import stale_diffusion
assert str(sys.argv[1]) in stale_diffusion.__file__
from stale_diffusion.clips.shards import Example
from stale_diffusion.dreamscapes.corpus import clip
from stale_diffusion.formats import export, sheet
from stale_diffusion.generate import load
from stale_diffusion.movie import Movie
from stale_diffusion.senses import FELT
from stale_diffusion.show.patch import load_patch
from stale_diffusion.streams import PERFORMED
from stale_diffusion.training.config import Config, Data, Model, Train
from stale_diffusion.training.data import Corpus
from stale_diffusion.training.loop import train
from stale_diffusion.model.weights import read_model
import dataclasses

folder = Path(sys.argv[1])
assert FELT[-1] == "thirst" and PERFORMED[-1] == "thirst"
movie = load().generate("a campfire at night", 4, seed=1, steps=1)
dry = movie.tracks["thirst"]
assert dry.origin == "derived" and dry.values.max() > 0.2, dry.values
movie = dataclasses.replace(movie, screen=None)
names = {p.name for p in export.export(movie, folder / "out", ["timeline", "csv", "cues"])}
assert "movie.thirst.csv" in names
assert "/stale/thirst/thirst" in (folder / "out/movie.cues.csv").read_text()
assert "thirst" in (folder / "out/movie.timeline.json").read_text()
without = dataclasses.replace(movie, tracks={n: t for n, t in movie.tracks.items() if n != "thirst"})
assert sheet.contact_sheet(movie).height > sheet.contact_sheet(without).height
assert [e.dmx for e in load_patch(None) if e.sense == "thirst"] == [max(e.dmx for e in load_patch(None))]

examples = [clip(i, seed=3, segments=2, rendered=False) for i in range(6)]
tiny = Config("tiny", Data(), Model(32, 1, 2), Train(steps=2, batch=4, warmup=1, log_steps=1, mix={"dream": 1.0}))
older = [dataclasses.replace(e, bits={n: b for n, b in e.bits.items() if n != "thirst"}) for e in examples]
list(train(tiny, Corpus(older), folder / "five", lambda: False))
begun = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, start=str(folder / "five")))
report = list(train(begun, Corpus(examples), folder / "six", lambda: False))
assert "thirst" in report[-1].losses
from stale_diffusion.generate import Generator
made = Generator(*read_model(folder / "six")).generate("", 4, seed=1, steps=1)
assert made.tracks["thirst"].origin == "generated" and made.tracks["thirst"].values.shape == (8, 1)
"""


def test_the_page_adds_a_seventh_sense_with_one_file_and_one_line(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/senses.md").read_text("utf-8"), re.S)
    assert code is not None and code[1].count("\n") < 100
    copy = tmp_path / "src" / "stale_diffusion"
    skipped = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(ROOT / "src/stale_diffusion", copy, ignore=skipped)
    for weights in (ROOT / "src/stale_diffusion").rglob("*.safetensors"):
        (copy / weights.relative_to(ROOT / "src/stale_diffusion")).symlink_to(weights)
    (copy / "senses/thirst.py").write_text(code[1], "utf-8")
    listed = copy / "senses/__init__.py"
    text = listed.read_text("utf-8")
    listed.write_text(
        text.replace('    "balance.Balance",\n', '    "balance.Balance",\n    "thirst.Thirst",\n'), "utf-8"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
