"""A sound alone becomes a movie; on a small network with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stale_diffusion import media
from stale_diffusion.alone import accompanied, heard_only, imagined
from stale_diffusion.commands.completing import Plan, pictured
from stale_diffusion.errors import StaleError
from stale_diffusion.generate import FELT, Generator, Preview
from stale_diffusion.media import SoundWriter
from stale_diffusion.model.transformer import Denoiser, Shape, sizes_of
from stale_diffusion.movie import Movie
from stale_diffusion.streams import STREAMS
from stale_diffusion.trust.keys import own
from stale_diffusion.trust.marking import digest
from stale_diffusion.trust.verify import verify

CLIP = Path(__file__).parent / "data/sea_island_05.mp4"


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = Denoiser(Shape(32, 1, 2, sizes_of(STREAMS)))
    for port in model.write.values():
        torch.nn.init.normal_(port.weight, std=0.3)
    return Generator(model, "0" * 64)


def recording(path: Path, seconds: float, loudness: float = 0.05) -> Path:
    noise = np.random.default_rng(0).standard_normal((max(1, round(48_000 * seconds)), 2)) * loudness
    with SoundWriter(path, 48_000, "") as writer:
        writer.sound(noise.astype(np.float32))
    return path


def test_a_sound_is_copied_packet_for_packet_and_gets_a_picture_and_what_is_felt(
    generator: Generator, tmp_path: Path
) -> None:
    sound = recording(tmp_path / "rain.opus", 4.5)
    seen: list[Preview] = []
    made = accompanied(generator, Movie.open(sound), "rain", 3, 2, guidance=1, price=0.1, watch=seen.append, key=own())
    assert {(p.segment, p.segments) for p in seen} == {(0, 2), (1, 2)}
    files = made.save(tmp_path / "rain.mkv", (64, 36), 2)
    again = Movie.open(files[0])
    assert media.packet_hashes(sound)[0] in media.packet_hashes(files[0])
    assert set(again.tracks) == set(FELT) and again.seconds == pytest.approx(made.seconds, abs=1e-4)
    frames = list(media.read_frames(files[0]))
    assert len(frames) == round(made.seconds * 2) and np.ptp(frames[0]) > 0
    recipe = again.recipe
    assert recipe is not None and recipe.source == "rain.opus" and recipe.picture == "performed"
    assert (recipe.senses["sight"], recipe.senses["hearing"], recipe.senses["smell"]) == (
        "generated",
        "given",
        "generated",
    )
    assert again.scene is not None and len(again.scene) == 2 and recipe.segments == 2
    assert (
        recipe.sleep_safe is None
        and "general_flashes_per_second" in recipe.limits
        and "loudness_lufs" not in recipe.limits
    )
    assert verify(files[0], own()).signature.verdict == "signed by a known key"
    assert digest(recipe) == digest(made.described())


def test_the_scene_is_guessed_from_sound_and_past_alone_and_what_is_felt_from_the_scene(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[set[str], set[str], set[str]]] = []
    segment = generator.segment

    def spy(known, wanted, past, *rest):  # type: ignore[no-untyped-def]
        asked.append((set(known), set(wanted), set(past)))
        return segment(known, wanted, past, *rest)

    monkeypatch.setattr(generator, "segment", spy)
    tokens, width = generator.streams["hearing"]
    hearing = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (2, tokens, width))
    bits = imagined(generator, {"hearing": hearing}, "", 1, 2, 1.0, None)
    assert asked[0] == ({"hearing"}, {"scene"}, set())
    assert asked[2] == ({"hearing"}, {"scene"}, {"hearing", "scene"})
    assert asked[1][0] == {"hearing", "scene"} and {"touch.vibration", "smell", "taste"} <= asked[1][1]
    assert np.array_equal(bits["hearing"], hearing) and len(bits["scene"]) == 2
    other = imagined(generator, {"hearing": -hearing}, "", 1, 2, 1.0, None)
    assert not np.array_equal(bits["scene"], other["scene"]), "the same seed hears another scene in another sound"


@pytest.mark.parametrize("suffix", ["mp3", "flac", "wav", "m4a", "ogg"])
def test_sounds_of_every_kind_are_heard(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"rain.{suffix}"
    if suffix == "mp3":
        _mp3(path)
    else:
        recording(path, 0.5)
    movie = Movie.open(path)
    assert heard_only(movie) and movie.seconds == pytest.approx(0.5, abs=0.1)
    plan = Plan.parse([], [], []).for_movie(movie)
    assert pictured(plan, movie, tmp_path / "a.mkv") and not pictured(plan, movie, tmp_path / "a.flac")


def _mp3(path: Path) -> None:
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libmp3lame", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 24_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)


def test_silence_gets_a_movie_too(generator: Generator, tmp_path: Path) -> None:
    made = accompanied(
        generator, Movie.open(recording(tmp_path / "s.wav", 1, 0.0)), "", 1, 1, guidance=1, price=0.1
    )  # fmt: skip
    assert all(np.isfinite(track.values).all() for track in made.tracks.values()) and made.key is None


def test_too_short_a_sound_and_a_film_are_refused(generator: Generator, tmp_path: Path) -> None:
    short = recording(tmp_path / "s.wav", 0)
    with pytest.raises(StaleError, match="No picture can be made to s"):
        accompanied(generator, Movie.open(short), guidance=1, price=0.1)
    with pytest.raises(StaleError, match="without a picture"):
        accompanied(generator, Movie.open(CLIP), guidance=1, price=0.1)
