"""Shards: WebDataset tars of encoded bits, read without decoding a frame.

Each example is a run of members with one key: KEY.STREAM.npy, bits packed eight to the byte (S, L, D / 8) uint8, then
KEY.json with caption, label and meta. Rendered Dreamscapes and real clips use the same format.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import Bits

MAX_MEMBER_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Example:
    """One clip as bits.

    Args:
        key: unique in a corpus; letters, digits, "-" and "_" only (WebDataset splits names at the first dot).
        caption: what is seen and heard.
        label: y of eq. 3, +1 or -1; None where nothing was counted.
        bits: {stream: (S, L, D)} in {-1, +1}; a sense that the clip does not have is left out.
        meta: source, licence, what is derived.
    """

    key: str
    caption: str
    label: int | None
    bits: dict[str, Bits]
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.key):
            raise ValueError(f"key {self.key!r}: letters, digits, - and _ only")


def write_shard(path: Path, examples: Iterable[Example]) -> int:
    """Write examples to a tar, as PATH.part and then renamed; the same examples give the same bytes.

    Returns:
        How many examples were written.
    """
    part = path.with_name(path.name + ".part")
    count = 0
    try:
        with tarfile.open(part, "w") as tar:
            for example in examples:
                for stream, bits in sorted(example.bits.items()):
                    file = io.BytesIO()
                    np.save(file, np.packbits(bits > 0, axis=-1), allow_pickle=False)
                    _add(tar, f"{example.key}.{stream}.npy", file.getvalue())
                record = {"caption": example.caption, "label": example.label, "meta": example.meta}
                _add(tar, f"{example.key}.json", json.dumps(record, sort_keys=True).encode())
                count += 1
        os.replace(part, path)
    except OSError as error:
        raise StaleError(
            f"{path} was not written.", error.strerror or str(error), "check the folder and the disk"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def read_shards(folder: Path) -> Iterator[Example]:
    """Examples of all shards of a folder (or of one .tar), by name of shard, then as written.

    Raises:
        StaleError: there is no shard, or one is damaged.
    """
    paths = [folder] if folder.is_file() else sorted(folder.glob("*.tar"))
    if not paths:
        mend = "stale-diffusion dreamscapes, or stale-diffusion ingest FOLDER -o SHARDS, makes them"
        raise StaleError(f"{folder} holds no shards (*.tar).", mend=mend)
    for path in paths:
        try:
            yield from _read_shard(path)
        except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
            raise StaleError(f"the shard {path} is damaged.", str(error), "delete it and make it again") from error


def _read_shard(path: Path) -> Iterator[Example]:
    bits: dict[str, Bits] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            key, _, rest = member.name.partition(".")
            file = tar.extractfile(member)
            if file is None or member.size > MAX_MEMBER_BYTES:
                raise ValueError(f"{member.name} is no plain file of at most {MAX_MEMBER_BYTES >> 20} MB")
            if rest.endswith(".npy"):
                packed = np.load(io.BytesIO(file.read()), allow_pickle=False)
                bits[rest.removesuffix(".npy")] = np.unpackbits(packed, axis=-1).astype(np.int8) * 2 - 1
            elif rest == "json":
                record = json.loads(file.read())
                yield Example(key, str(record["caption"]), record["label"], bits, dict(record["meta"]))
                bits = {}
