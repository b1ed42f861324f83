"""What a few rows of a split show when it is opened.

Numbers that stand for "nothing", images on their side, and rooms so near that their depth may be in centimetres.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from echodepth.core.errors import DataError
from echodepth.data.decoder import Decoder
from echodepth.data.depth_values import USUAL_MEDIAN
from echodepth.data.images import exif_orientation, open_image
from echodepth.data.records import Record

log = logging.getLogger(__name__)
_ROWS = 8


def report_peculiarities(records: Sequence[Record], decoder: Decoder) -> None:
    """Log what is dropped from depth maps and turned in images, in one line each, as a few rows show it.

    Unreadable files are passed over: they are reported with their rows when they are read.

    Args:
        records: rows of a split whose depth is used.
        decoder: reads their files.
    """
    rows = np.unique(np.linspace(0, max(0, len(records) - 1), _ROWS).astype(int))[: len(records)]
    found: dict[str, str] = {}
    for record in (records[int(row)] for row in rows):
        for kind, describe in (("depth", _describe_marker), ("image", _describe_orientation)):
            if kind in decoder.modalities and kind not in found:
                try:
                    found |= {kind: text} if (text := describe(record, decoder)) else {}
                except (DataError, OSError):
                    continue
    for text in found.values():
        log.warning("%s; `echodepth doctor` lists all such files", text)
    if "depth" in decoder.modalities and decoder.depth_known:
        _warn_if_near([records[int(row)] for row in rows], decoder)


def _warn_if_near(records: Sequence[Record], decoder: Decoder) -> None:
    medians = []
    for record in records:
        with suppress(DataError, OSError):
            if record.depth is not None and (depth := decoder.read_depth(record.depth)).valid.any():
                medians.append(float(np.median(depth.metres[depth.valid])))
    if len(medians) == _ROWS and (median := float(np.median(medians))) < USUAL_MEDIAN:
        log.warning(
            "the median depth of the rows from %s on is %.2f m, nearer than in rooms: are these centimetres? "
            "Then multiply them by 10, or give --depth_scale 100 with --dataset rgbd",
            *(records[0].depth, median),
        )


def _describe_marker(record: Record, decoder: Decoder) -> str:
    if record.depth is None or not decoder.depth_known or (marker := decoder.read_depth(record.depth).marker) is None:
        return ""
    return f"{record.depth}: {marker.number:g} is no distance, its {marker.pixels} pixels are invalid"


def _describe_orientation(record: Record, decoder: Decoder) -> str:
    if record.image is None:
        return ""
    with open_image(record.image) as image:
        orientation = exif_orientation(image, str(record.image))
    return f"{record.image} is turned upright, from EXIF orientation {orientation}" if orientation > 1 else ""
