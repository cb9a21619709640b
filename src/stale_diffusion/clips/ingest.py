"""Real clips into shards: a folder as yt-dlp leaves it (NAME.mp4, NAME.info.json) becomes bits to train on.

Sight and hearing are measured; touch is derived from them, smell and taste from the caption. What is not known is left
out, not guessed: a silent clip has no touch, a caption without a known word no smell and no taste.

A picture is scaled to cover 160x96 and cropped about the centre: no bits are spent on black bars, nothing is distorted.
A clip is cut at its scene changes, and a scene that was seen before (other bytes, the same picture) is left out. A
scene is cut into segments of 4 s; a last piece of 2 s or more is filled up (the last frame held, silence), a shorter
one dropped, and a scene shorter than that is skipped.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import stat
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stale_diffusion.clips.crew import Crew, Made, packed
from stale_diffusion.clips.scenes import alike
from stale_diffusion.clips.shards import Example, write_shard
from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import Sense

SUFFIXES = frozenset((".mp4", ".webm", ".mkv", ".mov", ".m4v", ".opus", ".ogg", ".m4a", ".flac", ".wav"))
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
    workers: int = 1,
    ray: str | None = None,
) -> Report:
    """Turn a folder of clips into shards, manifest.json and report.csv; goes on where an earlier run stopped.

    Args:
        folder: read with its subfolders, in order of name; links that leave it are not followed.
        out: where clips-NNNNN.tar go; made if it is not there.
        limit: how many new clips to take at most; None: all.
        report: called with each entry as it is decided.
        senses: the codecs; None: those of stale_diffusion.senses.
        workers: processes that decode and encode; the shards are the same, byte for byte, for any number.
        ray: the address of a Ray cluster, whose machines then do it instead.

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
    run = _Run(folder, out, senses, report, engagement({file: read_info(file).rate for file in files}))
    with _crew(workers, ray, senses) as crew:
        try:
            for file in files:
                while crew.full() or (limit is not None and run.took + len(crew.waiting) >= limit and crew.waiting):
                    run.collect(crew)
                if limit is not None and run.took >= limit:
                    break
                run.begin(file, crew)
            while crew.waiting:
                run.collect(crew)
            run.flush()
        finally:
            run.write_report()
    return run.report


def _crew(workers: int, ray: str | None, senses: Mapping[str, Sense]) -> Crew:
    if ray is None:
        return Crew(workers, senses)
    from stale_diffusion.clips.cluster import Cluster

    return Cluster(ray, senses)


class _Run:
    """The state of one run: what is finished, what waits for its shard."""

    def __init__(
        self,
        folder: Path,
        out: Path,
        senses: Mapping[str, Sense],
        listener: Callable[[Entry], None] | None,
        labels: Mapping[Path, int | None],
    ) -> None:
        self.folder, self.out, self.listener, self.labels = folder, out, listener, labels
        self.layout = {s.name: [s.tokens, s.bits] for name in senses for s in senses[name].streams}
        self.manifest = self._load()
        clips = [clip for shard in self.manifest["shards"] for clip in shard["clips"]]
        self.done = {clip["file"]: clip for clip in clips}
        self.skipped = {clip["file"]: clip for clip in self.manifest["skipped"]}
        self.hashes = {clip["sha256"]: clip["file"] for clip in clips}
        self.looks = [(look, clip["file"]) for clip in clips for look in clip.get("looks", [])]
        self.waiting: list[tuple[list[Example], dict[str, Any]]] = []
        self.took, self.changed = 0, False
        self.report = Report(shards=[shard["name"] for shard in self.manifest["shards"]])

    def _load(self) -> dict[str, Any]:
        path = self.out / "manifest.json"
        if not path.exists():
            return {"layout": self.layout, "shards": [], "skipped": []}
        try:
            manifest = dict(json.loads(path.read_bytes()))
            layout, shards = manifest["layout"], [s for s in manifest["shards"] if (self.out / s["name"]).exists()]
            skipped = list(manifest.get("skipped", []))
        except (ValueError, KeyError, TypeError) as error:
            raise StaleError(f"{path} is damaged.", str(error), f"delete {self.out} and ingest again") from error
        if layout != self.layout:
            why = "bits of different codecs do not mix"
            raise StaleError(f"the shards in {self.out} were made with other codecs.", why, "name a new folder")
        return {"layout": layout, "shards": shards, "skipped": skipped}

    def say(self, name: str, status: str, reason: str = "") -> None:
        entry = Entry(name, status, " ".join(reason.split()))
        self.report.entries.append(entry)
        if self.listener is not None:
            self.listener(entry)

    def skip(self, record: dict[str, Any], reason: str) -> None:
        """Report a file that was looked into and remember it, so that it is not decoded again."""
        record = {key: record[key] for key in ("file", "size", "mtime_ns")} | {"reason": reason[:300]}
        self.skipped[record["file"]] = record
        self.changed = True
        self.say(record["file"], "skipped", reason)

    def begin(self, file: Path, crew: Crew) -> None:
        """Give a file to the crew, or what is to be said of it: all is said in the order of the files."""
        name = file.relative_to(self.folder).as_posix()
        try:
            if not file.resolve().is_relative_to(self.folder.resolve()):
                return crew.answer(lambda: self.say(name, "skipped", "a link that leaves the folder"))
            status = file.stat()
            record = {"file": name, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
            known = self.done.get(name) or self.skipped.get(name)
            if known and all(known[key] == value for key, value in record.items()):
                how = ("skipped", known["reason"]) if "reason" in known else ("kept",)
                return crew.answer(lambda: self.say(name, *how))
            if not stat.S_ISREG(status.st_mode):
                return crew.answer(lambda: self.say(name, "skipped", "not a regular file; no pipe or device is read"))
            sha256 = _sha256(file)
        except OSError as error:
            why = error.strerror or str(error)
            return crew.answer(lambda: self.say(name, "skipped", why))
        if sha256 in self.hashes:
            twin = self.hashes[sha256]
            return crew.answer(lambda: self.skip(record, f"the same bytes as {twin}"))
        self.hashes[sha256] = name
        info = read_info(file)
        return crew.give(file, info.words, (record | {"sha256": sha256}, info, self.labels.get(file)))

    def collect(self, crew: Crew) -> None:
        """Take the oldest file back from the crew, and write a shard when there is enough for one."""
        made, ticket = crew.take()
        if callable(ticket):
            return cast(None, ticket())
        record, info, label = ticket
        if isinstance(made, str):
            return self.skip(record, made)
        examples, seen = [], [look for look, _ in self.looks]
        twin = ""
        for scene in made:
            known = alike(scene.look, packed(seen)) if scene.look else None
            if known is not None:
                twin = self.looks[known][1]
                continue
            examples.append(_example(scene, len(made) > 1, record, info, label))
        if not examples:
            return self.skip(record, f"it looks like {twin}")
        name, looks = record["file"], [scene.look for scene in made if scene.look]
        self.looks += [(look, name) for look in looks]
        clip = record | {"looks": looks, "scenes": len(examples), "derived": examples[0].meta["derived"], **info.meta}
        self.waiting.append((examples, clip))
        self.took += 1
        self.say(name, "ingested", f"{len(examples)} of {len(made)} scenes" if len(made) > 1 else "")
        if len(self.waiting) == CLIPS_A_SHARD:
            self.flush()
        return None

    def flush(self) -> None:
        """Write the waiting examples as one shard and enter it in the manifest."""
        if self.waiting:
            taken = {shard["name"] for shard in self.manifest["shards"]}
            name = next(n for i in range(10**5) if (n := f"clips-{i:05d}.tar") not in taken)
            write_shard(self.out / name, (example for examples, _ in self.waiting for example in examples))
            self.manifest["shards"].append({"name": name, "clips": [clip for _, clip in self.waiting]})
            self.report.shards.append(name)
        elif not self.changed:
            return
        self.manifest["skipped"] = list(self.skipped.values())
        _write(self.out / "manifest.json", json.dumps(self.manifest, indent=1))
        self.waiting.clear()
        self.changed = False

    def write_report(self) -> None:
        lines = [("file", "status", "reason"), *((e.file, e.status, e.reason) for e in self.report.entries)]
        part = self.out / "report.csv.part"
        with part.open("w", encoding="utf-8", errors="replace", newline="") as file:
            csv.writer(file).writerows(lines)
        os.replace(part, self.out / "report.csv")


def _example(scene: Made, several: bool, record: dict[str, Any], info: Info, label: int | None) -> Example:
    derived = {s: source for s, source in DERIVED.items() if any(name.split(".")[0] == s for name in scene.bits)}
    meta = {"corpus": "clips", "file": record["file"], "sha256": record["sha256"], "derived": derived, **info.meta}
    key = f"clip-{record['sha256'][:16]}"
    if several:
        key, meta = f"{key}-{scene.index:03d}", meta | {"scene": list(scene.span)}
    return Example(key, info.caption, label, scene.bits, meta)


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
