"""See depth by ear, taught by sight: binaural echo depth estimation distilled from an RGB teacher.

Importing this package costs next to nothing: torch and lightning are imported where they are used.
"""

__version__ = "0.1.0"
