"""Decode clips in a child process: a file that crashes, hangs or swells the decoder costs one clip, not the run.

`python -m stale_diffusion.clips.safe` limits its own memory, open files and file size, and the CPU time of each clip
(POSIX; elsewhere the wall clock alone). It reads lines of JSON [PATH, WIDTHxHEIGHT, FPS, RATE, SECONDS] from its
standard input, decodes, and writes to its standard output a run of messages for each: one line of JSON {"kind",
"shape", ...} followed by the raw bytes of an array of that shape: "picture" uint8 (H, W, 3), "sound" float32 (n, 1),
and "end" or "error" without one. Nothing is unpickled, every length is checked.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError

MEMORY_BYTES = 3 * 2**30
CPU_SECONDS = 120
WALL_SECONDS = 180.0
MAX_LINE = 4096
DTYPES: dict[str, Any] = {"picture": np.uint8, "sound": np.float32}


@dataclass(frozen=True)
class Clip:
    """A decoded clip: frames (T, H, W, 3) uint8 or None, sound (n,) float32 mono or None."""

    frames: NDArray[np.uint8] | None
    sound: NDArray[np.float32] | None


class Decoder:
    """A child that decodes clip after clip; one that dies, hangs or babbles is ended, and the next clip gets a new one.

    `replaced` counts those; one thread at a time.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._child: subprocess.Popen[bytes] | None = None

    def decode(
        self,
        path: Path,
        size: tuple[int, int] = (160, 96),
        fps: Fraction = Fraction(12),
        rate: int = 24000,
        seconds: float = 120.0,
        wall_seconds: float = WALL_SECONDS,
    ) -> Clip:
        """Decode the first `seconds` of a clip under limits.

        Args:
            path: the file.
            size: (width, height): the picture is scaled to cover it and cropped about the centre.
            fps, rate: frames and samples a second.
            wall_seconds: how long the child may take.

        Raises:
            StaleError: it cannot be decoded, or the child crashed or went over a limit.
        """
        parts: dict[str, list[NDArray[Any]]] = {"picture": [], "sound": []}
        for kind, array in self._messages(path, size, fps, rate, seconds, wall_seconds):
            parts[kind].append(array)
        frames = np.stack(parts["picture"]) if parts["picture"] else None
        sound = np.concatenate(parts["sound"])[:, 0] if parts["sound"] else None
        return Clip(frames, sound)

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            child.wait()

    def _messages(
        self, path: Path, size: tuple[int, int], fps: Fraction, rate: int, seconds: float, wall_seconds: float
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """Arrays as the child sends them; every reason to stop becomes one StaleError."""
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = _start()
        child, late, whole = self._child, threading.Event(), False
        assert child.stdin is not None and child.stdout is not None

        def stop() -> None:
            late.set()
            child.kill()

        clock = threading.Timer(wall_seconds, stop)
        clock.daemon = True  # whoever ends in the midst of a clip is not held up: the child ends with its pipes
        budget = 2 * int((seconds + 1) * (fps * size[0] * size[1] * 3 + rate * 4))  # twice what was asked for
        clock.start()
        try:
            asked = [str(path.absolute()), f"{size[0]}x{size[1]}", str(fps), str(rate), str(seconds)]
            child.stdin.write(json.dumps(asked).encode() + b"\n")
            child.stdin.flush()
            while (message := _read_line(child.stdout))["kind"] != "end":
                if message["kind"] == "error":
                    whole = True
                    raise StaleError(f"{path} cannot be decoded.", str(message["why"])[:300])
                kind, shape = message["kind"], _checked(message["kind"], message["shape"], size)
                budget -= int(np.prod(shape)) * np.dtype(DTYPES[kind]).itemsize
                if budget < 0:
                    raise ValueError("more than was asked for")
                yield kind, _read_array(child.stdout, shape, DTYPES[kind])
            whole = True
        except (ValueError, KeyError, TypeError, EOFError, BrokenPipeError):
            child.kill()
            child.wait()
            self.replaced += 1
            why = _why(child.returncode, late.is_set(), wall_seconds)
            raise StaleError(f"{path} cannot be decoded.", why) from None
        finally:
            clock.cancel()
            if not whole:
                self.close()


_SHARED = threading.local()  # a decoder for each thread, so that a child serves many clips
MAX_CLIPS = 200  # a child is renewed after so many: what a decoder leaks stays small


def decode(path: Path, seconds: float = 120.0, wall_seconds: float = WALL_SECONDS) -> Clip:
    """Decode a clip with this thread's own child, as `Decoder.decode` does; the child goes on to the next clip."""
    decoder = getattr(_SHARED, "decoder", None)
    if decoder is None or _SHARED.clips >= MAX_CLIPS:
        if decoder is not None:
            decoder.close()
        decoder = Decoder()
        _SHARED.decoder, _SHARED.clips = decoder, 0
        atexit.register(decoder.close)
    _SHARED.clips += 1
    return cast(Decoder, decoder).decode(path, seconds=seconds, wall_seconds=wall_seconds)


def _start() -> subprocess.Popen[bytes]:
    packages = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "stale_diffusion.clips.safe"],  # -P: no modules of the current folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(packages), "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the child
    )


def _checked(kind: str, shape: list[int], size: tuple[int, int]) -> tuple[int, ...]:
    """The shape of a message; the child has read an untrusted file and is not trusted either."""
    expected = {"picture": [size[1], size[0], 3], "sound": [shape[0], 1]}[kind]
    if shape != expected or not all(isinstance(n, int) and 0 <= n < 2**24 for n in shape):
        raise ValueError(f"{kind} of shape {shape}")
    return tuple(shape)


def _read_line(pipe: IO[bytes]) -> dict[str, Any]:
    line = pipe.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise EOFError
    return dict(json.loads(line))


def _read_array(pipe: IO[bytes], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    array = np.empty(shape, dtype)
    view, done = array.reshape(-1).view(np.uint8).data, 0
    while done < len(view):
        got = pipe.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        done += got
    return array


def _why(code: int, late: bool, wall_seconds: float) -> str:
    if late:
        return f"it took longer than {wall_seconds:g} s"
    if code == -24:  # SIGXCPU
        return f"it took more than {CPU_SECONDS} s of CPU time"
    return f"the decoder crashed (signal {-code})" if code < 0 else f"the decoder stopped (exit code {code})"


# ------------------------------------------------------------------------------------------------------ the child


def _limit() -> None:
    """Limits on this very process; where there are none (Windows, part of macOS), the parent's clock remains."""
    try:
        import resource
    except ImportError:
        return
    limits = {"RLIMIT_AS": MEMORY_BYTES, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    for name, value in (limits | {"RLIMIT_NOFILE": 64}).items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        try:
            resource.setrlimit(kind, (value, hard) if hard == resource.RLIM_INFINITY else (min(value, hard), hard))
        except (ValueError, OSError):  # macOS refuses some of them
            continue


def _grant() -> None:
    """CPU time for one more clip: a soft limit over what is spent already; going over it ends this process."""
    try:
        import resource
    except ImportError:
        return
    spent = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(spent.ru_utime + spent.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _send(kind: str, array: NDArray[Any] | None = None, **more: str) -> None:
    out = sys.stdout.buffer
    header = {"kind": kind, **more} | ({"shape": array.shape} if array is not None else {})
    out.write(json.dumps(header).encode() + b"\n")
    if array is not None:
        out.write(np.ascontiguousarray(array).data)


def _main(path: str, size: str, fps: str, rate: str, seconds: str) -> None:
    from stale_diffusion import media

    width, height = map(int, size.split("x"))
    try:
        parts = media.read_clip(path, Fraction(fps), (width, height), int(rate), float(seconds))
        for kind, array in parts:
            _send(kind, array)
        _send("end")
    except StaleError as error:
        _send("error", why=(error.why or error.what)[:300])
    except MemoryError:
        _send("error", why=f"it needs more than {MEMORY_BYTES >> 30} GB of memory")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _limit()
    for _line in sys.stdin.buffer:
        _grant()
        _main(*json.loads(_line))
