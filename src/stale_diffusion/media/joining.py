"""The last pass: finished tracks of several files become one, attachments in front, as often as it repeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from stale_diffusion.media.reading import open_file, track_title

CONTAINER_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time")  # of the old file
FLUSH = 1000  # milliseconds of a movie that grows which reach the disk together


def create(path: Path, kind: str, *, growing: bool = False) -> OutputContainer:
    """A file to write; one that grows can be played before it is whole."""
    # bitexact: no random identifiers; passthrough: the touch track must not become a default sound track;
    # negative times (the priming of AAC, 21 ms) stay: else the whole movie would be shifted against its timeline
    options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
    if growing:
        options["flush_packets"] = "1"
    if kind == "mp4":
        options |= {"movflags": "+frag_keyframe+delay_moov" if growing else "+faststart"}
    else:
        options |= {"default_mode": "passthrough"} | ({"cluster_time_limit": str(FLUSH)} if growing else {})
    return av.open(str(path.absolute()), "w", format=kind, options=options)


def join(
    parts: Sequence[Path], path: Path, kind: str, attachments: Mapping[str, tuple[str, bytes]],
    tags: Mapping[str, str], repeats: int, span: Fraction, opening: tuple[Sequence[Packet[Any]], int],
) -> None:  # fmt: skip
    """Copy the packets of all parts into one file: Matroska takes no attachments after the first packet.

    Args:
        repeats: how often, later by `span` seconds each time.
        opening: packets that replace the first ones of a track of the first file, once; and which track.
    """
    with ExitStack() as stack:
        sources = [stack.enter_context(open_file(part)) for part in parts]
        out = stack.enter_context(create(path, kind))
        for source in sources:
            out.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in CONTAINER_TAGS})
        out.metadata.update(tags)
        streams = [{s.index: copy_stream(out, s) for s in source.streams} for source in sources]
        for name, (mime, data) in attachments.items():
            out.add_attachment(name, mime, data)
        first, heard = opening
        for packet in first:
            packet.stream = streams[0][heard]
            out.mux([packet])
        risen = max(((p.pts or 0) * p.time_base for p in first), default=Fraction(-1))
        for turn in range(repeats):
            if turn:
                for source in sources:
                    source.seek(0)
            for _, i, packet in merge(*(_clocked(s, i, repeats > 1) for i, s in enumerate(sources)), key=_time):
                old = packet.stream.index
                if not turn and not i and old == heard and (packet.pts or 0) * packet.time_base <= risen:
                    continue
                shift = round(span * turn / packet.time_base)
                packet.pts = packet.pts + shift if packet.pts is not None else None
                packet.dts = packet.dts + shift if packet.dts is not None else None
                packet.stream = streams[i][old]
                out.mux([packet])


def _time(entry: tuple[Fraction, int, Packet[Any]]) -> Fraction:
    return entry[0]


def _clocked(source: InputContainer, i: int, timed: bool) -> Iterator[tuple[Fraction, int, Packet[Any]]]:
    """The packets of file i, each with a time by which files are merged."""
    time = Fraction(0)
    for packet in _timed(source.demux()) if timed else source.demux():
        if packet.size:
            stamp = packet.dts if packet.dts is not None else packet.pts
            time = time if stamp is None else stamp * packet.time_base
            yield time, i, packet


def _timed(packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
    """Packets, each with a decode time: Matroska has none, and the first of a picture track are not guessed."""
    waiting: dict[int, list[Packet[Any]]] = {}
    for packet in packets:
        early = waiting.setdefault(packet.stream.index, [])
        if packet.size and packet.dts is None:
            early.append(packet)
            continue
        for i, before in enumerate(early):
            before.dts = (packet.dts or 0) - (len(early) - i) * (before.duration or 1)
            yield before
        early.clear()
        yield packet


def copy_stream(out: OutputContainer, stream: Any) -> Any:
    """A track of `out` that takes the packets of another file's track."""
    copy = out.add_stream_from_template(stream, opaque=True)  # by its decoder: AV1 may have no encoder of that name
    copy.metadata.update(naming(track_title(stream), stream.language or "und", out.format.name))
    copy.disposition = stream.disposition
    return copy


def naming(title: str, language: str, kind: str) -> dict[str, str]:
    """Title and language of a track; MP4 keeps the title as the name of its handler."""
    return {"language": language} | ({"handler_name" if kind == "mp4" else "title": title} if title else {})
