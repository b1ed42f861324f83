"""One's own recordings, made into BatVision V2's format."""
