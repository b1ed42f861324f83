"""Kinds of findings and their remedies."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["fault", "note"]


class Issue(NamedTuple):
    """A kind of finding: its title and its remedy."""

    title: str
    remedy: str


ISSUES: dict[str, Issue] = {
    "table": Issue("Unreadable split list", "Repair the CSV file. Its split was not examined."),
    "missing": Issue("Missing file", "Add the file, or delete the row."),
    "corrupt": Issue("Corrupt file", "Copy the file again from the recording device, or delete the row."),
    "damaged": Issue(
        "Damaged or changed file",
        "A simulated set is mended by `echodepth simulate` with its settings; copy the files of other sets again.",
    ),
    "audio format": Issue(
        "Unsupported audio format",
        "Use stereo WAV, left ear first, 44.1 kHz, at least 16 bits. `echodepth convert` writes this format.",
    ),
    "audio level": Issue(
        "Samples in the low end of their bytes",
        "They are read at their full level. Convert them with `echodepth convert`, so that other programs do too.",
    ),
    "unread audio": Issue(
        "Bytes that are not read behind the samples",
        "A header counts less than its file holds. If the rest is sound, save the recording again with all of it.",
    ),
    "too short": Issue("Recording too short", "Record longer, or train with a smaller --max_depth."),
    "no sound": Issue("No direct sound", "Check that the loudspeaker was on. Record again, or delete the row."),
    "onset": Issue(
        "Direct sound at an unusual time",
        "Listen to the recording: the detected onset may be another sound. Delete the row, or set --audio_start.",
    ),
    "clipping": Issue("Clipped audio", "Lower the microphone gain or the loudspeaker volume, and record again."),
    "silent ear": Issue("One silent channel", "Check cables, batteries and muted channels, and record again."),
    "same ears": Issue(
        "Identical channels", "A mono recording in two channels has no binaural cues. Record with two microphones."
    ),
    "swapped ears": Issue(
        "Left and right ear swapped",
        "Swap the channels of these recordings. If the image is reported as mirrored too, mirror the depth instead.",
    ),
    "image format": Issue("Unsupported image format", "Use a colour image with 8 bits per channel."),
    "depth format": Issue(
        "Unsupported depth format", "Use a two-dimensional .npy array in millimetres, 16 bits or more."
    ),
    "depth unit": Issue("Wrong depth unit", "Depth must be in millimetres. Multiply metres by 1000."),
    "possible depth unit": Issue(
        "Perhaps another depth unit than millimetres",
        "See whether the camera was so near. Multiply centimetres by 10, or give an RGB-D folder --depth_scale 100.",
    ),
    "depth marker": Issue(
        'A number for "nothing" in the depth map',
        "These pixels count as unknown. Store 0 there, as `echodepth convert` does, for other programs' sake.",
    ),
    "possible depth marker": Issue(
        'Perhaps a number for "nothing" in the depth map',
        "It counts as a distance. If the camera writes it where it measured nothing, store 0 there.",
    ),
    "empty depth": Issue("Empty depth map", "Delete the row: it holds no ground truth."),
    "constant depth": Issue("Constant depth map", "Delete the row: the camera recorded a test pattern or its cover."),
    "orientation": Issue(
        "Image stored on its side",
        "It is turned upright before use. See that its depth map is upright too, and store the pixels upright, "
        "as `echodepth convert` does: other programs ignore the EXIF orientation.",
    ),
    "size": Issue("Unusual image or depth size", "Check for cropping or rotation, and export the row as the others."),
    "mirrored": Issue("Image and depth mirrored", "Mirror one of the two."),
    "shifted": Issue("Image and depth misaligned", "Register the depth to the image with the camera's own software."),
    "duplicate": Issue("Duplicate data", "Delete one of the rows: duplicates count twice in training and evaluation."),
    "leak": Issue("Data shared between splits", "Move all rows of a room, and all duplicates, into one split."),
    "shared location": Issue(
        "Location in several splits",
        "BatVision's own splits share locations too. Use --leave_out to test on an unseen location.",
    ),
    "no split": Issue("Missing split", "Training needs train and val; an unused split may be missing."),
}
"""All kinds, in the order of the report: unreadable data, recording faults, inconsistencies between rows."""


@dataclass(frozen=True)
class Finding:
    """A fault or a note.

    Attributes:
        kind: a key of ``ISSUES``.
        where: the list and line, the location, or the split.
        what: description.
        rows: names of the affected rows.
        severity: a note does not make the dataset faulty.
    """

    kind: str
    where: str
    what: str
    rows: tuple[str, ...] = ()
    severity: Severity = "fault"
