"""What can be wrong, and what to do about it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["fault", "note"]


class Ailment(NamedTuple):
    """A kind of fault: its title and the way out."""

    title: str
    remedy: str


ISSUES: dict[str, Ailment] = {
    "table": Ailment("A list that cannot be read", "Mend the CSV file; its split was not examined."),
    "missing": Ailment("A file is missing", "Complete the dataset, or delete the row."),
    "corrupt": Ailment("A file cannot be decoded", "Copy it again from where it was recorded, or delete the row."),
    "audio format": Ailment(
        "Audio of another format", "Stereo WAV, left ear first, 44.1 kHz, at least 16 bits: echodepth convert makes it."
    ),
    "too short": Ailment("A recording is too short", "Record longer, or train with a smaller --max_depth."),
    "no sound": Ailment("No direct sound", "Was the loudspeaker on? Record again, or delete the row."),
    "onset": Ailment(
        "A direct sound at an unusual time",
        "Listen to it: another sound may have been taken for the chirp. Delete the row, or give --audio_start.",
    ),
    "clipping": Ailment("Clipped audio", "Turn the microphones' gain or the loudspeaker down and record again."),
    "silent ear": Ailment("One ear is silent", "Look for a cable, a battery or a muted channel; record again."),
    "same ears": Ailment(
        "Both ears hear the same", "A mono recording in two channels has no direction: record with two microphones."
    ),
    "swapped ears": Ailment(
        "Left and right ear are swapped",
        "Exchange the channels of these recordings. If the picture counts as mirrored too, mirror the depth instead.",
    ),
    "picture format": Ailment("A picture of another format", "A colour picture of 8 bits per channel is expected."),
    "depth format": Ailment(
        "Depth of another format", "A two-dimensional .npy of at least 16 bits, in millimetres, is expected."
    ),
    "depth unit": Ailment("Depth in another unit", "Millimetres are expected: multiply metres by 1000."),
    "empty depth": Ailment("No depth was measured", "Delete the row: nothing can be learnt from it."),
    "constant depth": Ailment("Depth is the same everywhere", "A camera's test picture or cover: delete the row."),
    "size": Ailment("Another size than the others", "Was it cropped or turned? Export it again as the others were."),
    "mirrored": Ailment("Picture and depth are mirror images", "Mirror one of the two."),
    "shifted": Ailment("Picture and depth are shifted", "Register depth to picture with the camera's own tool."),
    "duplicate": Ailment("The same data in two rows", "Delete one: it counts twice in training and in figures."),
    "leak": Ailment("Training and test share data", "Move all rows of a room, and all copies, into one split."),
    "shared location": Ailment(
        "A location is in several splits", "As in BatVision's own splits; --leave_out tests on a location never seen."
    ),
    "no split": Ailment("A split is missing", "Training needs train and val; one that is not needed may be absent."),
}
"""In the order of the report: what cannot be read, what was recorded badly, what does not belong together."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: a key of ``ISSUES``.
        where: the list and line, the location, or the split.
        what: what was found there.
        rows: the rows' names.
        severity: a note does not make the dataset faulty.
    """

    kind: str
    where: str
    what: str
    rows: tuple[str, ...] = ()
    severity: Severity = "fault"
