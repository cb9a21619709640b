"""Range requests: what a header asks for, and the same bytes whichever way they are asked for."""

import random

import pytest
from playhouse import Running, status

from stale_diffusion.player.ranges import span

CASES = [
    (None, (0, 100)), ("bytes=0-0", (0, 1)), ("bytes=10-19", (10, 20)), ("bytes=90-", (90, 100)),
    ("bytes=-7", (93, 100)), ("bytes=-700", (0, 100)), ("bytes=0-999", (0, 100)), ("bytes=100-", None),
    ("bytes=-0", None), ("bytes=200-300", None), ("bytes=5-3", (0, 100)), ("bytes=-", (0, 100)),
    ("bytes=0-1,5-6", (0, 100)), ("lines=0-1", (0, 100)), ("bytes=a-b", (0, 100)), ("bytes=1e2-", (0, 100)),
    ("bytes=" + "9" * 30 + "-", (0, 100)),
]  # fmt: skip


@pytest.mark.parametrize(("header", "expected"), CASES)
def test_what_a_header_asks_for(header: str | None, expected: tuple[int, int] | None) -> None:
    assert span(header, 100) == expected


def test_any_part_is_the_part_of_the_whole(player: Running) -> None:
    head, whole = player.ask("GET /media/storm.mkv").split(b"\r\n\r\n", 1)
    assert f"content-length: {len(whole)}".encode() in head and b"accept-ranges: bytes" in head and b"video/mp4" in head
    rng = random.Random(7)
    for _ in range(12):
        start = rng.randrange(len(whole))
        stop = min(len(whole), start + rng.randrange(1, 60_000))
        head, part = player.ask("GET /media/storm.mkv", f"Range: bytes={start}-{stop - 1}").split(b"\r\n\r\n", 1)
        assert status(head) == 206 and part == whole[start:stop]
        assert f"content-range: bytes {start}-{stop - 1}/{len(whole)}".encode() in head
    beyond = player.ask("GET /media/storm.mkv", f"Range: bytes={len(whole)}-")
    assert status(beyond) == 416 and f"content-range: bytes */{len(whole)}".encode() in beyond
    assert player.ask("HEAD /media/storm.mkv").split(b"\r\n\r\n", 1)[1] == b""
