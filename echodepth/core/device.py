"""Which device computes."""

import torch

from echodepth.core.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is the first GPU, or else the CPU.

    Raises:
        ConfigError: torch knows no such device, or cannot use it here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {name} cannot be used here ({reason}); use --device cpu") from error
    return device
