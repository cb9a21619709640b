"""Clips ingested by a Ray cluster of two nodes: the same bytes. Ray (80 MB) is in no extra that the suite installs:

pip install -e '.[test,ray]' && python -m pytest tests/test_cluster.py
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stale_diffusion import media
from stale_diffusion.clips import cluster
from stale_diffusion.clips.ingest import ingest
from stale_diffusion.errors import StaleError

CLIP = Path(__file__).parent / "data" / "sea_island_05.mp4"
HERE = importlib.util.find_spec("ray") is not None
installed = pytest.mark.skipif(not HERE, reason="ray is not installed: pip install 'stale-diffusion[ray]'")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two nodes of one core each."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    yield nodes.address
    nodes.shutdown()


def clips(folder: Path) -> Path:
    """A real clip with its info file, three sounds, a text that is no clip, and a twin."""
    folder.mkdir()
    for path in (CLIP, CLIP.with_suffix(".info.json")):
        shutil.copy(path, folder)
    shutil.copy(CLIP, folder / "twin.mp4")
    (folder / "text.mp4").write_text("this is not a movie")
    for seconds in (2, 3, 5):
        with media.MovieWriter(folder / f"{seconds}.mkv", None, None, 48000, 1) as movie:
            movie.sound((0.3 * np.sin(300 * np.arange(48000 * seconds)[:, None] / 48000)).astype(np.float32))
    return folder


@installed
def test_two_nodes_write_the_same_bytes(tmp_path: Path, address: str) -> None:
    folder = clips(tmp_path / "clips")
    ingest(folder, tmp_path / "one")
    report = ingest(folder, tmp_path / "two", ray=address)
    assert (report.count("ingested"), report.count("skipped")) == (4, 2)
    for name in ("clips-00000.tar", "manifest.json", "report.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@installed
def test_a_machine_that_does_not_see_the_clips_is_one_error(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = clips(tmp_path / "clips")
    submit = cluster.Cluster._submit
    monkeypatch.setattr(
        cluster.Cluster, "_submit", lambda self, file, words: submit(self, Path("/no") / file.name, words)
    )
    with pytest.raises(StaleError, match=f"{socket.gethostname()} does not see"):
        ingest(folder, tmp_path / "out", ray=address)


@installed
def test_no_cluster_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(StaleError, match="no Ray cluster"):
        ingest(clips(tmp_path / "clips"), tmp_path / "out", ray="127.0.0.1:1")


@pytest.mark.skipif(HERE, reason="ray is installed")
def test_without_ray_the_extra_is_named(tmp_path: Path) -> None:
    with pytest.raises(StaleError) as error:
        ingest(clips(tmp_path / "clips"), tmp_path / "out", ray="auto")
    assert error.value.mend == "pip install 'stale-diffusion[ray]'"
