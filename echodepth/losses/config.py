"""The flags of the training loss itself. This module imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Flags of the sum itself."""

    use_adaptive_loss: bool = False
    """Curriculum: add the gradient loss over the second fifth of the epochs, and smoothness over the third."""
