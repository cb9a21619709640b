"""Real clips into shards: a folder as yt-dlp leaves it (NAME.mp4, NAME.info.json) becomes bits to train on.

Sight and hearing are measured; touch is derived from them, smell and taste from the caption. What is not known is left
out, not guessed: a silent clip has no touch, a caption without a known word no smell and no taste.

A picture is scaled to cover 160x96 and cropped about the centre: no bits are spent on black bars, nothing is distorted.
A clip is cut into segments of 4 s; a last piece of 2 s or more is filled up (the last frame held, silence), a shorter
one dropped, and a clip shorter than that is skipped.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.clips import derive, lexicon
from stale_diffusion.clips.safe import Clip, decode
from stale_diffusion.clips.shards import Example, write_shard
from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import SEGMENT_SECONDS, Sense

SUFFIXES = frozenset((".mp4", ".webm", ".mkv", ".mov", ".m4v", ".opus", ".ogg", ".m4a", ".flac", ".wav"))
MIN_SECONDS = 2.0
MAX_SECONDS = 120.0  # of a clip that are read: shorts are what this is for
CLIPS_A_SHARD = 64
MAX_INFO_BYTES = 8 * 2**20
MAX_CAPTION = 2000
DERIVED = {"touch": "sound and picture", "smell": "caption", "taste": "caption"}


@dataclass(frozen=True)
class Entry:
    """What became of one file: status "ingested", "kept" (in a finished shard) or "skipped", and why."""

    file: str
    status: str
    reason: str = ""


@dataclass
class Report:
    """What became of all files, and the shards there are now."""

    entries: list[Entry] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)

    def count(self, status: str) -> int:
        """How many files have a status."""
        return sum(entry.status == status for entry in self.entries)


@dataclass(frozen=True)
class Info:
    """What is used of NAME.info.json; `words` is all that the lexicon reads, `rate` likes a view."""

    caption: str = ""
    words: str = ""
    rate: float | None = None
    meta: dict[str, str] = field(default_factory=dict)


def ingest(
    folder: Path,
    out: Path,
    *,
    limit: int | None = None,
    report: Callable[[Entry], None] | None = None,
    senses: Mapping[str, Sense] | None = None,
) -> Report:
    """Turn a folder of clips into shards, manifest.json and report.csv; goes on where an earlier run stopped.

    Args:
        folder: read with its subfolders, in order of name; links that leave it are not followed.
        out: where clips-NNNNN.tar go; made if it is not there.
        limit: how many new clips to take at most; None: all.
        report: called with each entry as it is decided.
        senses: the codecs; None: those of stale_diffusion.senses.

    Raises:
        StaleError: the folder is missing or holds no clip, or `out` was made with other codecs.
    """
    if not folder.is_dir():
        raise StaleError(f"{folder} is not a folder.", mend="name a folder of clips", usage=True)
    files = list(_files(folder, out))
    if not files:
        raise StaleError(
            f"{folder} holds no clips.", f"looked for {', '.join(sorted(SUFFIXES))}", "yt-dlp -P FOLDER URL"
        )
    if senses is None:
        from stale_diffusion.senses import SENSES

        senses = SENSES
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(folder, out, senses, report)
    infos = {file: read_info(file) for file in files}
    labels = engagement({file: info.rate for file, info in infos.items()})
    try:
        for file in files:
            if limit is not None and run.report.count("ingested") >= limit:
                break
            run.take(file, infos[file], labels[file])
        run.flush()
    finally:
        run.write_report()
    return run.report


class _Run:
    """The state of one run: what is finished, what waits for its shard."""

    def __init__(
        self, folder: Path, out: Path, senses: Mapping[str, Sense], listener: Callable[[Entry], None] | None
    ) -> None:
        self.folder, self.out, self.senses, self.listener = folder, out, senses, listener
        self.layout = {s.name: [s.tokens, s.bits] for name in senses for s in senses[name].streams}
        self.manifest = self._load()
        self.done = {clip["file"]: clip for shard in self.manifest["shards"] for clip in shard["clips"]}
        self.hashes = {clip["sha256"]: clip["file"] for clip in self.done.values()}
        self.waiting: list[tuple[Example, dict[str, Any]]] = []
        self.report = Report(shards=[shard["name"] for shard in self.manifest["shards"]])

    def _load(self) -> dict[str, Any]:
        path = self.out / "manifest.json"
        if not path.exists():
            return {"layout": self.layout, "shards": []}
        try:
            manifest = dict(json.loads(path.read_bytes()))
            layout, shards = manifest["layout"], [s for s in manifest["shards"] if (self.out / s["name"]).exists()]
        except (ValueError, KeyError, TypeError) as error:
            raise StaleError(f"{path} is damaged.", str(error), f"delete {self.out} and ingest again") from error
        if layout != self.layout:
            why = "bits of different codecs do not mix"
            raise StaleError(f"the shards in {self.out} were made with other codecs.", why, "name a new folder")
        return {"layout": layout, "shards": shards}

    def say(self, file: Path, status: str, reason: str = "") -> None:
        entry = Entry(file.relative_to(self.folder).as_posix(), status, " ".join(reason.split()))
        self.report.entries.append(entry)
        if self.listener is not None:
            self.listener(entry)

    def take(self, file: Path, info: Info, label: int | None) -> None:
        """Ingest one file, or say why not."""
        name = file.relative_to(self.folder).as_posix()
        try:
            if not file.resolve().is_relative_to(self.folder.resolve()):
                return self.say(file, "skipped", "a link that leaves the folder")
            status = file.stat()
            before = self.done.get(name)
            if before and (before["size"], before["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
                return self.say(file, "kept")
            clip = decode(file, seconds=MAX_SECONDS)  # refuses what is no regular file before it is hashed
            sha256 = _sha256(file)
            if sha256 in self.hashes:
                return self.say(file, "skipped", f"the same bytes as {self.hashes[sha256]}")
            bits = encode(clip, info.words, self.senses)
            derived = {
                sense: source for sense, source in DERIVED.items() if any(s.split(".")[0] == sense for s in bits)
            }
            meta = {"corpus": "clips", "file": name, "sha256": sha256, "derived": derived, **info.meta}
            self.waiting.append((
                Example(f"clip-{sha256[:16]}", info.caption, label, bits, meta),
                {"file": name, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256},
            ))  # fmt: skip
            self.hashes[sha256] = name
            self.say(file, "ingested")
        except StaleError as error:
            return self.say(file, "skipped", error.why or error.what)
        except OSError as error:
            return self.say(file, "skipped", error.strerror or str(error))
        if len(self.waiting) == CLIPS_A_SHARD:
            self.flush()

    def flush(self) -> None:
        """Write the waiting examples as one shard and enter it in the manifest."""
        if not self.waiting:
            return
        taken = {shard["name"] for shard in self.manifest["shards"]}
        name = next(n for i in range(10**5) if (n := f"clips-{i:05d}.tar") not in taken)
        write_shard(self.out / name, (example for example, _ in self.waiting))
        self.manifest["shards"].append({"name": name, "clips": [clip for _, clip in self.waiting]})
        _write(self.out / "manifest.json", json.dumps(self.manifest, indent=1))
        self.report.shards.append(name)
        self.waiting.clear()

    def write_report(self) -> None:
        lines = [("file", "status", "reason"), *((e.file, e.status, e.reason) for e in self.report.entries)]
        part = self.out / "report.csv.part"
        with part.open("w", encoding="utf-8", errors="replace", newline="") as file:
            csv.writer(file).writerows(lines)
        os.replace(part, self.out / "report.csv")


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", errors="replace")
    os.replace(part, path)


def _files(folder: Path, out: Path) -> Iterator[Path]:
    """Clips of a folder and its subfolders, in order of name; not those of `out`, nor hidden ones."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            f for f in folders if not f.startswith(".") and (Path(place) / f).resolve() != out.resolve()
        )
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(place) / name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_info(clip: Path) -> Info:
    """What NAME.info.json says; nothing where it is missing, too large, broken or of another shape."""
    path = clip.with_suffix(".info.json")
    try:
        if not path.is_file() or path.stat().st_size > MAX_INFO_BYTES:
            return Info()
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return Info()
    if not isinstance(record, dict):
        return Info()
    title, description = _text(record, "title"), _text(record, "description")
    said = " ".join(re.sub(r"#\w+", " ", description).split())
    caption = said if not title or (said.startswith(title.rstrip(".… ")) and title) else title
    tags = record.get("tags")
    hashtags = [f"#{tag}" for tag in tags[:50] if isinstance(tag, str)] if isinstance(tags, list) else []
    words = ". ".join(filter(None, [title, description if description != title else "", " ".join(hashtags)]))
    likes, views = _count(record, "like_count"), _count(record, "view_count")
    fields = {"source": "webpage_url", "licence": "license", "author": "uploader"}
    meta = {ours: value for ours, theirs in fields.items() if (value := _text(record, theirs)[:500])}
    rate = likes / views if likes is not None and views else None
    return Info(caption[:MAX_CAPTION], words[: 4 * MAX_CAPTION], rate, meta)


def _count(record: dict[str, Any], key: str) -> float | None:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return float(value)


def _text(record: dict[str, Any], key: str) -> str:
    """A string of the record on one line; lone surrogates, which JSON may hold and UTF-8 may not, replaced."""
    value = record.get(key)
    plain = value[: 8 * MAX_CAPTION].encode(errors="replace").decode() if isinstance(value, str) else ""
    return " ".join(plain.split())


def engagement(rates: Mapping[Path, float | None]) -> dict[Path, int | None]:
    """The label y of eq. 3: +1 above the median of likes a view, -1 below; None at it and where nothing was counted."""
    known = [rate for rate in rates.values() if rate is not None]
    middle = statistics.median(known) if known else 0.0
    return {f: None if r is None or r == middle else 1 if r > middle else -1 for f, r in rates.items()}


def encode(clip: Clip, words: str, senses: Mapping[str, Sense]) -> dict[str, NDArray[np.int8]]:
    """Bits of every sense that a clip has or that can be derived, {stream: (S, L, D)}.

    Raises:
        StaleError: it is shorter than MIN_SECONDS.
    """
    lengths = [
        len(v) / float(senses[n].rate) for n, v in (("sight", clip.frames), ("hearing", clip.sound)) if v is not None
    ]
    seconds = max(lengths, default=0.0)
    if seconds < MIN_SECONDS:
        raise StaleError(f"the clip is too short: {seconds:.1f} s of at least {MIN_SECONDS:g} s.")
    segments = max(1, int((seconds + MIN_SECONDS) // SEGMENT_SECONDS))
    values: dict[str, NDArray[Any]] = {}
    if clip.frames is not None:
        values["sight"] = _fill(clip.frames, segments * senses["sight"].samples, hold=True)
    notes, tastes, temperature, wind = lexicon.derive(words)
    if clip.sound is not None:
        rate, n = int(senses["hearing"].rate), segments * senses["hearing"].samples
        values["hearing"] = sound = _fill(clip.sound, n, hold=False)
        ticks, fps = segments * senses["touch"].samples, float(senses["sight"].rate)
        values["touch"] = derive.touch(sound, rate, ticks, values.get("sight"), fps, temperature, wind)
    if notes.any():
        values["smell"] = np.tile(notes, (segments * senses["smell"].samples, 1))
        values["taste"] = np.tile(tastes, (segments * senses["taste"].samples, 1))
    return {stream: bits for name, value in values.items() for stream, bits in senses[name].encode(value).items()}


def _fill(values: NDArray[Any], length: int, *, hold: bool) -> NDArray[Any]:
    """Cut or fill up to a length, with the last value or with zeros."""
    missing = length - len(values)
    if missing <= 0:
        return values[:length]
    tail = np.repeat(values[-1:], missing, axis=0) if hold else np.zeros((missing, *values.shape[1:]), values.dtype)
    return np.concatenate([values, tail])
