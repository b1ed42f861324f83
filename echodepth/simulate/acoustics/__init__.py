"""Acoustic simulation: propagation of sound in a room, and its recording at two ears."""
