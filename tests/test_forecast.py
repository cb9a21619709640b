"""The forecast is cheap, makes nothing, and its counts are those of the movie that is then made."""

import subprocess
import sys
from pathlib import Path

import pytest

from stale_diffusion.errors import StaleError
from stale_diffusion.forecast import forecast
from stale_diffusion.generate import load
from stale_diffusion.model.files import find

FRAME = (64, 36)


def test_the_shapes_are_those_of_the_network_and_the_passes_what_is_asked_for() -> None:
    network, found = load(), find()
    told = forecast(found, 9.0, 4, 1.5, 2, FRAME, 12, 0.1)
    assert told.segments == 3 and told.passes == 3 * 4 * 2 * 2 and told.frames == 108
    assert told.parameters == sum(p.numel() for p in network.model.state_dict().values())
    assert {"scene", "smell"} <= told.streams.keys() and "hearing" not in told.streams
    painted = forecast(found, 9.0, 4, 1.5, 2, FRAME, 12, 0.1, paint=True)
    assert painted.streams == network.streams


def test_what_is_larger_takes_more_and_what_is_repeated_does_not() -> None:
    found = find()
    small = forecast(found, 60, 16, 1, 1, FRAME, 24, 0.1)
    large = forecast(found, 60, 16, 1, 1, (1280, 720), 24, 0.1)
    assert large.rendering > 50 * small.rendering and large.memory > small.memory and large.dollars > small.dollars
    night, turn = (forecast(found, s, 16, 1, 1, FRAME, 24, 0.1, turns=604) for s in (28_800, 600))
    assert night.rendering == turn.rendering and night.file == pytest.approx(48 * turn.file)
    assert forecast(found, 60, 16, 1, 1, FRAME, 24, 0.1, sound_alone=True).frames == 0


@pytest.mark.parametrize("data", [b"", b"\x08", b"\x02" + bytes(7) + b"[]", b"\xff" * 64, b"{}" * 9])
def test_what_is_no_model_is_one_clear_error(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(StaleError, match="is not a model"):
        find(path)


def test_a_dry_run_makes_nothing_and_does_not_load_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv[1:] = ['generate', 'rain', '-o', 'x.mkv', '--dry-run', '--seconds', '8']\n"
        "from stale_diffusion.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert not e.code\n"
        "assert 'torch' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert [line.split()[0] for line in said.stdout.splitlines()] == [
        "model", "shapes", "passes", "frames", "memory", "file", "time", "cost"
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())
