"""The tensors of one instance, in the units of the whole project."""

from typing import TypedDict

from jaxtyping import Bool, Float
from torch import Tensor


class Sample(TypedDict, total=False):
    """One instance, or a batch with a leading axis. Modalities that were not requested are absent.

    Attributes:
        image: RGB in 0..1.
        audio: waveforms of the left and right ear, full scale 1, cut from the direct sound's onset.
        spectrogram: replaces ``audio`` in prepared data: the front end's output, the left ear's channels first.
        depth: metres along the optical axis; 0 where invalid.
        valid: mask of the pixels with ground truth.
        name: identifies the instance in messages and per-image tables.
        room: groups the instances of one place, see ``Record.room``.
        mirrored: whether augmentation exchanged left and right; absent before augmentation.
        any_valid: of a training batch, whether any of its pixels is valid; known on the CPU, so that no step waits for
            the device to tell.
        not_finite: of a batch on its way to the network, names of the instances with NaN or infinite values, by
            modality; absent if there are none.
    """

    image: Float[Tensor, "*batch 3 h w"]
    audio: Float[Tensor, "*batch 2 t"]
    spectrogram: Float[Tensor, "*batch c s s"]
    depth: Float[Tensor, "*batch 1 h w"]
    valid: Bool[Tensor, "*batch 1 h w"]
    name: str
    room: str
    mirrored: Bool[Tensor, "*batch"]
    any_valid: bool
    not_finite: dict[str, list[str]]
