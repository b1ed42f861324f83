"""Numbers that several parts must agree on."""

SAMPLE_RATE = 44100
"""Hz, of both BatVision versions (arXiv 1912.07011, 2303.07257) and of everything that is simulated."""

SPEED_OF_SOUND = 340.0
"""m/s, as in BatVision's own code, so that cuts and depths agree with published figures."""

V2_RECORDING_SAMPLES = 20_000
"""Length of a BatVision V2 recording: 0.4535 s."""

V2_ONSET = 282
"""Samples before the direct sound in a genuine BatVision V2 recording: 6.4 ms."""
