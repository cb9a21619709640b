"""Media files: probe, read, copy and write pictures, sound, subtitles and attachments. Nothing else imports av."""

from stale_diffusion.media.fragments import FileFragments, check_playable
from stale_diffusion.media.growing import GrowingMovie, Slots
from stale_diffusion.media.reading import (
    RGB,
    AudioInfo,
    Probe,
    Sound,
    VideoInfo,
    packet_hashes,
    probe,
    read_attachments,
    read_frames,
    read_sound,
)
from stale_diffusion.media.writing import LANES, MovieWriter, check_fits, missing_encoders

__all__ = [
    "LANES",
    "RGB",
    "AudioInfo",
    "FileFragments",
    "GrowingMovie",
    "MovieWriter",
    "Probe",
    "Slots",
    "Sound",
    "VideoInfo",
    "check_fits",
    "check_playable",
    "missing_encoders",
    "packet_hashes",
    "probe",
    "read_attachments",
    "read_frames",
    "read_sound",
]
