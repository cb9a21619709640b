"""What a stranger can do to the player: raw bytes on a socket, as no well-behaved client would send them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playhouse import SECRET, TOKEN, Running, listening, status

from stale_diffusion.errors import StaleError
from stale_diffusion.player import server
from stale_diffusion.player.shelf import Shelf
from stale_diffusion.show.clock import Clock

READ = ("/api/state", "/api/movies/storm.mkv", "/api/lanes/storm.mkv", "/media/storm.mkv", "/api/making")
CHANGE = ("/api/transport", "/api/making", "/api/making/cancel")


def test_it_listens_on_this_machine_alone() -> None:
    with server.listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    assert server.is_loopback("::1") and server.is_loopback("localhost")
    assert not server.is_loopback("0.0.0.0") and not server.is_loopback("192.168.1.5")
    with pytest.raises(StaleError, match="cannot listen"):
        server.listen("192.0.2.1", 0)


@pytest.mark.parametrize("path", ["/", "/main.js", *READ])
def test_the_host_is_checked_on_every_request(player: Running, path: str) -> None:
    for host in (
        f"evil.example:{player.port}",
        "127.0.0.1",
        f"127.0.0.1:{player.port + 1}",
        f"127.0.0.1.evil.example:{player.port}",
        f"localhost.:{player.port}",
        f"[::2]:{player.port}",
        "",
        f"127.0.0.1:{player.port}@evil.example",
    ):
        assert status(player.ask(f"GET {path}", host=host or " ")) in (400, 403), host
    for host in (f"127.0.0.1:{player.port}", f"LOCALHOST:{player.port}", f"[::1]:{player.port}"):
        assert status(player.ask(f"GET {path}", "Range: bytes=0-9", host=host)) in (200, 206), host


def test_two_hosts_or_none_are_refused(player: Running) -> None:
    assert status(player.ask("GET /", f"Host: 127.0.0.1:{player.port}")) == 400
    assert status(player.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")) == 400
    assert status(player.raw(b"GET / HTTP/1.0\r\n\r\n")) == 403
    evil = "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert status(player.raw(evil.encode())) in (400, 403, 404)


@pytest.mark.parametrize("path", READ)
def test_nothing_of_a_movie_is_told_without_the_token(player: Running, path: str) -> None:
    assert status(player.ask(f"GET {path}", token=False)) == 403
    assert status(player.ask(f"GET {path}", f"X-Token: {TOKEN[:-1]}", token=False)) == 403
    assert status(player.ask(f"GET {path}?token={TOKEN}x", token=False)) == 403
    assert status(player.ask(f"GET {path}?token={TOKEN}", "Range: bytes=0-9", token=False)) in (200, 206)


@pytest.mark.parametrize("path", CHANGE)
def test_what_changes_something_needs_origin_and_token(player: Running, path: str) -> None:
    body = b'{"action": "pause", "position": 0, "movie": "storm.mkv", "seconds": -1}'
    own = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    origin = f"Origin: http://127.0.0.1:{player.port}"
    for wrong in (
        (),
        ("Origin: null",),
        ("Origin: http://evil.example",),
        (origin + ".evil.example",),
        (f"Origin: https://127.0.0.1:{player.port}",),
        (f"Origin: http://127.0.0.1:{player.port + 1}",),
        (f"Origin: http://localhost:{player.port}",),
    ):
        assert status(player.ask(f"POST {path}", *own, *wrong, body=body)) == 403, wrong
    assert status(player.ask(f"POST {path}?token={TOKEN}", *own, origin, body=body, token=False)) == 403
    assert status(player.post(path, body)) in (200, 400)
    assert status(player.ask(f"GET {path}", origin)) in (200, 404, 405)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"])
def test_other_methods_do_nothing(player: Running, method: str) -> None:
    answer = player.ask(
        f"{method} /api/making",
        f"Origin: http://127.0.0.1:{player.port}",
        "Access-Control-Request-Method: POST",
        "Content-Length: 0",
    )
    assert status(answer) == 405
    assert b"access-control" not in answer.lower()


NAMES = (
    "../secret.mkv", "..%2fsecret.mkv", "%2e%2e%2fsecret.mkv", "%2e%2e/secret.mkv", "..%5csecret.mkv",
    "..\\secret.mkv", "..%252fsecret.mkv", "%c0%ae%c0%ae%c0%afsecret.mkv", "..%2fmovies-private%2fsecret.mkv",
    "../movies-private/secret.mkv", "....//secret.mkv", "%2fetc%2fpasswd", "//etc/passwd", "link.mkv",
    "away%2fsecret.mkv", "away/secret.mkv", "below%2fsecret.mkv", "below/secret.mkv", "notes.txt", "storm.mkv%00.txt",
    "..%00/secret.mkv", "./../secret.mkv", "movies-private", "..", ".", "%2e", "storm.mkv%2f..%2f..%2fsecret.mkv",
    "file:%2f%2f%2fetc%2fpasswd", "%EF%BC%8E%EF%BC%8E%2fsecret.mkv", "con.mkv", ".hidden.mkv",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_folder(player: Running, name: str) -> None:
    for kind in ("media", "api/movies", "api/lanes", "api/heard", "api/strip"):
        answer = player.ask(f"GET /{kind}/{name}")
        assert status(answer) in (400, 403, 404), kind
        assert SECRET.encode() not in answer and b"root:" not in answer


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/..%2fserver.py",
        "/page/main.js",
        "/style.css/..%2f..%2fguard.py",
        "//etc/passwd",
        "/__init__.py",
    ],
)
def test_only_the_page_is_served_from_the_package(player: Running, path: str) -> None:
    assert status(player.ask(f"GET {path}")) in (400, 404)


def test_the_shelf_lists_what_it_may_open(folder: Path) -> None:
    assert sorted(Shelf(folder).names()) == ["evil.mkv", "storm.mkv"]
    with pytest.raises(StaleError):
        Shelf(folder).path("../movies-private/secret.mkv")


def test_bodies_are_limited(player: Running) -> None:
    assert status(player.post("/api/making", b" " * 70_000)) == 413
    assert status(player.post("/api/making", b"{}", "Content-Length: 3")) == 400  # two of them
    head = ("Transfer-Encoding: chunked", "Content-Type: application/json", f"Origin: http://127.0.0.1:{player.port}")
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    assert status(player.ask("POST /api/making", *head, body=chunk * 5 + b"0\r\n\r\n")) == 413


BODIES = (
    b"", b"[]", b"{", b'{"seconds": NaN}', b'{"seconds": 1e999}', b'{"a": 1, "a": 2}', b"[" * 30_000, b"\xff\xfe",
    b'{"seconds": true}', b'{"seconds": 0}', b'{"seconds": 99999}', b'{"plot": 7}', b'{"seed": -1}', b'{"seed": 1.5}',
    b'{"seed": "7"}',
)  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_bad_wish_is_refused_with_a_reason(player: Running, body: bytes) -> None:
    answer = player.post("/api/making", body)
    assert status(answer) == 400
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["what"]
    assert json.loads(player.ask("GET /api/making").split(b"\r\n\r\n", 1)[1]) is None  # nothing was begun


def test_headers_and_addresses_are_limited(player: Running) -> None:
    assert status(player.ask("GET /", "X-Long: " + "a" * 20_000)) == 431
    assert status(player.ask("GET /", "X-Long: " + "a" * 200_000)) in (0, 400, 431)  # 0: hung up
    assert status(player.ask("GET /", *(f"X-{i}: a" for i in range(80)))) == 431
    assert status(player.ask("GET /" + "a" * 5000)) == 400
    assert status(player.ask("GET /api/lanes/storm.mkv?from=nan")) == 400
    assert status(player.ask("GET /api/lanes/storm.mkv?columns=-1")) == 400


@pytest.mark.parametrize(
    "path", ["/", "/main.js", "/media/storm.mkv", "/api/state", "/nothing", "/media/nothing.mkv", "/api/making/still/3"]
)
def test_every_answer_tells_the_browser_to_be_strict(player: Running, path: str) -> None:
    for answer in (player.ask(f"GET {path}", "Range: bytes=0-9"), player.ask(f"GET {path}", host="evil.example")):
        head = answer.split(b"\r\n\r\n", 1)[0].decode().lower()
        assert "\r\nx-content-type-options: nosniff" in head
        policy = next(line for line in head.split("\r\n") if line.startswith("content-security-policy: "))
        assert "default-src 'self';" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert "access-control-" not in head and "server: " not in head
        assert "\r\nreferrer-policy: no-referrer" in head


def test_by_another_address_it_answers_to_that_address_alone(folder: Path) -> None:
    listener = server.listen("127.0.0.2", 0)  # stands for this machine's address in a network
    listener.close()
    app = server.create_app(folder / "storm.mkv", token=TOKEN, hosts=("nightstand.local",))
    with listening(app, folder) as running:
        assert status(running.ask("GET /", host=f"nightstand.local:{running.port}")) == 200
        assert status(running.ask("GET /api/state", host=f"nightstand.local:{running.port}", token=False)) == 403
        assert status(running.ask("GET /", host=f"other.local:{running.port}")) == 403


def test_the_token_is_not_in_what_is_sent_and_stands_behind_the_hash() -> None:
    with server.listen("127.0.0.1", 0) as listener:
        address = server.address_of(listener, "127.0.0.1", "secret")
    assert address.endswith("/#secret")
    assert len(server.new_token()) >= 20 and server.new_token() != server.new_token()


def test_an_order_to_the_clock_is_checked(folder: Path) -> None:
    clock = Clock(12)
    with listening(server.create_app(folder / "storm.mkv", clock, token=TOKEN), folder) as running:

        def order(**body: object) -> int:
            return status(running.post("/api/transport", json.dumps(body).encode()))

        assert order(action="seek", position=5, movie="storm.mkv") == 200
        assert clock.now() == (5, False)
        for wrong in (
            {"action": "explode"},
            {"position": -1},
            {"position": "0"},
            {"position": None},
            {"position": True},
        ):
            assert order(**({"action": "play", "position": 0, "movie": "storm.mkv"} | wrong)) == 400
        assert order(action="play", position=7, movie="evil.mkv") == 200  # another movie does not move it
        assert clock.now() == (5, False)
        assert order(action="play", position=7, movie="storm.mkv") == 200
        assert clock.now()[1]
    assert not clock.now()[1]  # the player has ended, and so has the show
