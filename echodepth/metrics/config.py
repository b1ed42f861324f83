"""Names that flags of scoring commands use. Imports nothing heavy: it feeds --help."""

from typing import Literal

ProtocolName = Literal["official", "htf", "valid", "loo"]
