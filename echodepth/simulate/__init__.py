"""Simulator of binaural echoes, images and depth maps in BatVision V2's format."""
