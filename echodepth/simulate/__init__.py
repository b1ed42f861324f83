"""A small acoustic and visual simulator that writes BatVision V2's format."""
