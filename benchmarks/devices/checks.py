"""Whether a device computes what it should: attention against double precision, and repeated trainings."""

from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.devices.networks import stepping
from benchmarks.devices.run import MODELS, PRECISIONS, TRAINED_IN_ALL, Run, precision
from echodepth.models.attention.cross_attention import CrossAttention


def attention(run: Run) -> None:
    """Relative error of outputs and gradients, against double precision on the same device."""
    for kind in PRECISIONS if run.on_cuda else ("fp32",):
        run.keep("attention", kind, partial(_attention_error, run, kind))


def _attention_error(run: Run, kind: str) -> dict[str, float]:
    torch.manual_seed(1)
    layer = CrossAttention(128).to(run.device)
    nn.init.ones_(layer.gate)
    exact = CrossAttention(128).to(run.device, torch.float64)
    exact.load_state_dict(layer.state_dict())
    maps, weight = torch.randn(2, 2, 128, 48, 64, device=run.device), torch.randn(2, 128, 48, 64, device=run.device)
    results = []
    for some, dtype, context in ((exact, torch.float64, nullcontext()), (layer, torch.float32, precision(kind, run))):
        query, key = (x.to(dtype, copy=True).requires_grad_() for x in maps)
        with context:
            out = some(query, key)
            attended = out - query
            (attended.to(dtype) * weight.to(dtype)).sum().backward()
        assert key.grad is not None
        results.append((attended.detach().double(), key.grad.double()))
    return {
        "output_max": float((results[1][0] - results[0][0]).abs().max()),
        "output_relative": _relative(results[1][0], results[0][0]),
        "gradient_relative": _relative(results[1][1], results[0][1]),
    }


def _relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def determinism(run: Run) -> None:
    """Two trainings of five steps, and the time of a deterministic step."""
    torch.use_deterministic_algorithms(True, warn_only=not run.on_cuda)
    for name in MODELS:
        for kind in PRECISIONS if name in TRAINED_IN_ALL and run.on_cuda else PRECISIONS[:1]:

            def twice(name: str = name, kind: str = kind) -> dict[str, Any]:
                states = []
                for _ in range(2):
                    network = run.model(name).network
                    step = stepping(run, network, kind)
                    for _ in range(5):
                        step()
                    states.append(network.state_dict())
                equal = all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
                return {"bit_equal": equal, "frames_per_second": run.batch / run.seconds_of(step, runs=5)}

            run.keep("determinism", f"{name}, {kind}", twice)
    torch.use_deterministic_algorithms(False)
