"""``echodepth calibrate``: the rig of a robot from a few of its recordings."""
