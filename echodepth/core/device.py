"""Which device computes, and with how many bits."""

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def float32_products(tf32: bool) -> Iterator[None]:
    """Set how CUDA devices multiply float32 matrices and convolve float32 maps, and restore it afterwards.

    Args:
        tf32: round factors to TF32, which has the range of float32 and 10 bits of mantissa instead of 23; sums stay in
            float32. False keeps all bits.
    """
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution
