"""Keys, the signed manifest, Content Credentials, and what `verify` says of files."""

import json
import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stale_diffusion import media
from stale_diffusion.cli import app
from stale_diffusion.dreamscapes.render import truth
from stale_diffusion.errors import StaleError
from stale_diffusion.trust import keys, manifest, marking
from stale_diffusion.trust.verify import Report, verify

SIZE = (320, 180)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> keys.Key:
    return keys.own(tmp_path_factory.mktemp("keys") / "mine.pem")


@pytest.fixture(scope="module", params=[".mkv", ".mp4", ".webm"])
def movie(request: pytest.FixtureRequest, key: keys.Key, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movie") / f"shore{request.param}"
    marking.marked(truth("shore", 4, 3), key).save(path, SIZE, 8)
    return path


def test_a_key_is_made_once_for_its_owner_only_and_openssl_s_form_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key.pem"
    first = keys.own(path)
    assert keys.own(path).raw == first.raw and first.secret not in path.read_bytes()
    assert os.name != "posix" or path.stat().st_mode & 0o077 == 0
    assert [p.name for p in path.parent.iterdir()] == ["key.pem"]
    if os.name == "posix":
        path.chmod(0o644)
        with pytest.raises(StaleError, match="others can read"):
            keys.own(path)


@pytest.mark.parametrize("data", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(StaleError, match="is not a key"):
        keys.load(path)


def test_a_generated_movie_is_marked_and_signed_in_every_container(movie: Path, key: keys.Key) -> None:
    found = verify(movie, key)
    assert found.signature.verdict == "signed by a known key" and found.signature.issuer == key.public.id
    assert found.mark["sight"] is not None and found.mark["sight"].found
    assert found.mark["hearing"] is not None and found.mark["hearing"].found
    assert found.mark["hearing"].payload is not None
    assert found.mark["hearing"].payload[:4].hex() == key.public.id
    assert found.recipe and not found.altered and found.found
    assert found.credentials == ("valid" if movie.suffix == ".mp4" else None)


def test_a_stranger_s_movie_is_of_an_unknown_issuer(movie: Path, tmp_path: Path) -> None:
    found = verify(movie, keys.own(tmp_path / "other.pem").public)
    assert found.signature.verdict == "signed by an unknown issuer" and found.found and not found.altered


def signature_of(path: Path, key: keys.Key) -> Report:
    return verify(path, key.public)  # a public key: the mark is not looked for


def test_an_altered_track_is_named(key: keys.Key, tmp_path: Path) -> None:
    original, other = tmp_path / "a.mkv", tmp_path / "b.mkv"
    marking.marked(truth("shore", 2, 3), key).save(original, SIZE, 8)
    files = {n: ("application/json", d) for n, d in media.read_attachments(original).items()}
    with media.MovieWriter(other, copy_from=original, subtitles=(), touch_rate=8000) as writer:
        writer.touch(np.zeros((16_000, 2), np.float32))
        writer.close(files)
    found = signature_of(other, key)
    assert found.altered and found.signature.verdict == "altered"
    assert "track touch" in found.signature.altered and "track smell" in found.signature.altered
    assert "track video" not in found.signature.altered and "track sound" not in found.signature.altered


def test_an_altered_sidecar_and_an_altered_manifest_are_named(key: keys.Key, tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    marking.marked(truth("shore", 2, 3), key).save(path, SIZE, 8)
    said = path.with_suffix(".manifest.json")
    with path.with_suffix(".taste.json").open("a") as file:
        file.write(" ")
    assert signature_of(path, key).signature.altered == ("file taste.json",)
    record = json.loads(said.read_text())
    record["files"].pop("taste.json")
    said.write_text(json.dumps(record))
    assert signature_of(path, key).signature.altered == ("manifest.json",)
    said.write_text('{"format": "stale-diffusion manifest", "version": 1}')
    with pytest.raises(StaleError, match="not a manifest"):
        signature_of(path, key)
    said.unlink()
    assert signature_of(path, key).signature == manifest.UNSIGNED


def test_altered_bytes_of_an_mp4_are_told_by_its_credentials(key: keys.Key, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    marking.marked(truth("shore", 2, 3), key).save(path, SIZE, 8)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + len(data[data.index(b"mdat") :]) // 2
    data[at] ^= 1
    path.write_bytes(data)
    found = signature_of(path, key)
    assert found.credentials == "altered" and found.altered


def test_an_unmarked_movie_stays_unmarked_and_unsigned(key: keys.Key, tmp_path: Path) -> None:
    path = tmp_path / "plain.mkv"
    truth("shore", 2, 3).save(path, SIZE, 8)
    found = signature_of(path, key)
    assert found.signature == manifest.UNSIGNED and not found.found and found.recipe is None


def test_what_is_copied_is_not_altered_but_signed(key: keys.Key, tmp_path: Path) -> None:
    from dataclasses import replace

    from stale_diffusion.movie import Movie

    clip = Path(__file__).parents[1] / "data/sea_island_05.mp4"
    out = tmp_path / "out.mkv"
    replace(Movie.open(clip), key=key).save(out)
    assert media.packet_hashes(out) == media.packet_hashes(clip)
    assert signature_of(out, key).signature.verdict == "signed by a known key"


def test_a_still_and_a_marked_screen_are_the_screen_in_all_but_a_breath(key: keys.Key) -> None:
    plain = truth("shore", 2, 3)
    assert plain.screen is not None
    marked = marking.marked(plain, key)
    assert marked.screen is not None and marked.screen.seconds == 2 and marked.screen.kind == "performed"
    pairs = zip(plain.screen.frames(SIZE, Fraction(4)), marked.screen.frames(SIZE, Fraction(4)), strict=True)
    errors = [float(np.mean((a.astype(float) - b) ** 2)) for a, b in pairs]
    assert len(errors) == 8 and all(0 < e < 255**2 / 10**4.2 for e in errors)
    assert sum(map(len, marked.screen.sound(48_000))) == 96_000


def test_the_command_says_it_in_words_json_and_exit_codes(key: keys.Key, movie: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    mine, plain = tmp_path / "mine.pem", tmp_path / "plain.mkv"
    mine.write_bytes(key.pem())
    mine.chmod(0o600)
    done = run(app, ["verify", str(movie), "--key", str(mine), "--json"])
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["watermark"]["hearing"]["found"] and found["recipe_matches"]
    assert found["signature"] == {"verdict": "signed by a known key", "issuer": key.public.id, "altered": []}
    shutil.copy(Path(__file__).parents[1] / "data/sea_island_05.mp4", tmp_path / "clip.mp4")
    done = run(app, ["verify", str(tmp_path / "clip.mp4")])  # the user has no key yet, or one of the tests'
    assert done.exit_code == 4 and "unsigned" in done.stdout
    for wrong in (["verify", str(plain)], ["verify", str(movie), "--key", str(tmp_path / "none.pem")]):
        assert isinstance(run(app, wrong).exception, StaleError)
