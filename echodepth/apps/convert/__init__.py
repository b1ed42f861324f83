"""Conversion of own recordings to BatVision V2's format."""
