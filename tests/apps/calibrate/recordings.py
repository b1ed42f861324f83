"""Recordings of a rig in simulated rooms, and what the command finds in them."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from echodepth.apps.calibrate.calibrate import calibrate
from echodepth.apps.calibrate.config import CalibrateConfig
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import propagate
from echodepth.simulate.acoustics.recording import record
from echodepth.simulate.acoustics.scattering import draw_patches
from echodepth.simulate.camera.render import depth_map
from echodepth.simulate.rig import Rig
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room


def write_recordings(folder: Path, rig: Rig, count: int, depth: bool = True) -> Path:
    """A folder of recordings of a rig, each in another room, with depth maps of 48 x 48 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "camera.json").write_text('{"field_of_view_degrees": [86, 57]}')
    for number in range(count):
        rng = np.random.default_rng([5, number])
        room = draw_room(rng)
        pose = draw_pose(rng, room, rig.height)
        arrivals = propagate(room, draw_patches(room, rng), pose, Loudspeaker(isolation=rig.isolation), rng)
        place = folder / f"room_{number}"
        place.mkdir()
        soundfile.write(place / f"audio_{number}.wav", record(arrivals, rng, rig).T, 44100, subtype="PCM_24")
        if depth:
            camera = replace(pose, pitch=pose.pitch + math.radians(rig.pitch))
            np.save(place / f"depth_{number}.npy", (1000 * depth_map(room, camera, 48)).astype(np.uint16))
    return folder


def run(recordings: Path, out: Path, **flags: Any) -> dict[str, Any]:
    """The file that the command writes."""
    calibrate(CalibrateConfig(recordings, out=out, **flags))
    content: dict[str, Any] = json.loads(out.read_text())
    return content
