"""Media files: probe, read, copy and write pictures, sound, subtitles and attachments. Nothing else imports av."""

from stale_diffusion.media.damaged import LOOK_WIDTH, Marked, minterpolate, read_marks
from stale_diffusion.media.fragments import FileFragments, check_playable
from stale_diffusion.media.growing import GrowingMovie, Slots
from stale_diffusion.media.judging import LoudnessMeter, read_small
from stale_diffusion.media.reading import (
    RGB,
    AudioInfo,
    Probe,
    Sound,
    TrackHash,
    VideoInfo,
    packet_hashes,
    probe,
    read_attachments,
    read_frames,
    read_sound,
    track_hashes,
)
from stale_diffusion.media.skimming import read_clip
from stale_diffusion.media.sounding import SoundWriter
from stale_diffusion.media.writing import LANES, MovieWriter, check_fits, missing_encoders

__all__ = [
    "LANES",
    "LOOK_WIDTH",
    "RGB",
    "AudioInfo",
    "FileFragments",
    "GrowingMovie",
    "LoudnessMeter",
    "Marked",
    "MovieWriter",
    "Probe",
    "Slots",
    "Sound",
    "SoundWriter",
    "TrackHash",
    "VideoInfo",
    "check_fits",
    "check_playable",
    "minterpolate",
    "missing_encoders",
    "packet_hashes",
    "probe",
    "read_attachments",
    "read_clip",
    "read_frames",
    "read_marks",
    "read_small",
    "read_sound",
    "track_hashes",
]
