"""The number of CPU threads of a training run, which a resumed run keeps."""

import logging
import math

import torch

from echodepth.core.flags import flat
from echodepth.core.threads import choose_threads
from echodepth.training.config import TrainConfig
from echodepth.training.validation import input_size, is_main_process, on_cuda

log = logging.getLogger(__name__)


def training_threads(config: TrainConfig, before: int | None = None) -> int:
    """The number of threads to train with; the log says so where it is not torch's own.

    Args:
        config: of the run.
        before: the number of threads up to the checkpoint from which the run resumes, if known. It is kept unless
            --threads names another: sums are split by thread, so that weights would differ by rounding.
    """
    machine, now = config.machine, torch.get_num_threads()
    channels = flat(config.network).get("base_channels")
    number, reason = now, ""
    if machine.threads is not None:
        number, reason = machine.threads, "--threads"
        if before not in (None, number):
            reason += f"; {before} up to the resumed epoch, so that weights differ by rounding"
    elif before is not None:
        number, reason = before, "as before the resume; --threads names another"
    # Lightning divides the cores among several processes, and a GPU's CPU threads prepare data.
    elif channels and machine.devices * machine.num_nodes == 1 and not on_cuda(machine) and machine.device != "mps":
        number = choose_threads(config.optimisation.batch_size * channels * math.prod(input_size(config)))
        reason = "faster for so small a network; --threads names another"
    if number != now and is_main_process():
        log.info("%d CPU %s instead of %d (%s)", number, "thread" if number == 1 else "threads", now, reason)
    return number
