"""The signed manifest: the recipe and a hash of every track and attachment, under an Ed25519 signature.

It proves that nothing was changed since it was signed. Where it is missing, it proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from stale_diffusion.errors import StaleError
from stale_diffusion.jsonio import read_object
from stale_diffusion.trust.keys import Key, PublicKey

if TYPE_CHECKING:
    from stale_diffusion.media import TrackHash

FORMAT = "stale-diffusion manifest"
VERSION = 1
NAME = "manifest.json"
Verdict = Literal["signed by a known key", "signed by an unknown issuer", "unsigned", "altered"]


@dataclass(frozen=True)
class Signature:
    """What a manifest proves.

    Args:
        verdict: in words.
        issuer: id of the key that signed; None: nobody.
        altered: names of tracks and attachments that are not as they were signed, or were added or taken away.
    """

    verdict: Verdict
    issuer: str | None = None
    altered: tuple[str, ...] = ()


UNSIGNED = Signature("unsigned")


def sign(tracks: Sequence[TrackHash], files: Mapping[str, bytes], key: Key) -> bytes:
    """The manifest of tracks and attached files {name: bytes}, as JSON."""
    record = {
        "format": FORMAT,
        "version": VERSION,
        "key": base64.b64encode(key.public.raw).decode(),
        "tracks": [asdict(track) for track in tracks],
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    record["signature"] = base64.b64encode(key.sign(_signed(record))).decode()
    return (json.dumps(record, indent=1) + "\n").encode()


def check(
    data: bytes, tracks: Sequence[TrackHash], files: Mapping[str, bytes], known: Iterable[PublicKey], source: str
) -> Signature:
    """What a manifest proves of the tracks and attached files that are there.

    Raises:
        StaleError: it is no manifest.
    """
    record = _read(data, source)
    key, signature = PublicKey(base64.b64decode(record["key"])), base64.b64decode(record["signature"])
    body = {name: value for name, value in record.items() if name != "signature"}
    if not key.has_signed(_signed(body), signature):
        return Signature("altered", key.id, (NAME,))
    wrong = (*_other_tracks(record["tracks"], tracks), *_other_files(record["files"], files))
    if wrong:
        return Signature("altered", key.id, wrong)
    return Signature("signed by a known key" if key in known else "signed by an unknown issuer", key.id)


def files_of(data: bytes, source: str) -> list[str]:
    """The names of the files that a manifest covers; bare names only.

    Raises:
        StaleError: it is no manifest.
    """
    return [name for name in _read(data, source)["files"] if name == name.replace("\\", "/").rpartition("/")[2]]


def _read(data: bytes, source: str) -> dict[str, Any]:
    """A manifest of which every value has its type; StaleError where it is none."""
    record = read_object(data, source)
    tracks, files = record.get("tracks"), record.get("files")
    known = record.get("format") == FORMAT and record.get("version") == VERSION
    signed = _is_base64(record.get("key")) and _is_base64(record.get("signature"))
    listed = isinstance(tracks, list) and all(
        isinstance(track, dict) and all(isinstance(track.get(name), str) for name in ("kind", "title", "sha256"))
        for track in tracks
    )
    named = isinstance(files, dict) and all(isinstance(value, str) for value in files.values())
    if not (known and signed and listed and named):
        why = "it is damaged, or of a later version"
        raise StaleError(f"{source} is not a manifest.", why, "update stale-diffusion, or get the file again")
    return record


def _other_tracks(then: list[dict[str, Any]], now: Sequence[TrackHash]) -> tuple[str, ...]:
    """Tracks that are not as they were signed, added or gone; a track is known by its kind, title and order."""

    def named(tracks: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        found: dict[str, str] = {}
        for track in tracks:
            base = f"track {track['title'] or track['kind']}"
            name, n = base, 2
            while name in found:
                name, n = f"{base} {n}", n + 1
            found[name] = track["sha256"]
        return found

    before, after = named(then), named(asdict(track) for track in now)
    return tuple(name for name in {**before, **after} if before.get(name) != after.get(name))


def _other_files(then: Mapping[str, str], now: Mapping[str, bytes]) -> tuple[str, ...]:
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in now.items() if name != NAME}
    return tuple(f"file {name}" for name in {**then, **hashes} if then.get(name) != hashes.get(name))


def _signed(record: Mapping[str, Any]) -> bytes:
    """The bytes that are signed: JSON with sorted names and no space."""
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def _is_base64(text: Any) -> bool:
    try:
        return isinstance(text, str) and len(base64.b64decode(text, validate=True)) in (32, 64)
    except (binascii.Error, ValueError):
        return False
