"""The tables of docs/devices.md, from docs/results/benchmarks-<device>.json."""

from collections.abc import Iterator
from typing import Any

Kept = dict[str, Any]


def tables(kept: Kept) -> str:
    """All tables of one device, under the names of their parts."""
    machine = kept["machine"]
    heading = f"Measured on {machine['device']}, torch {machine['torch']}.\n"
    parts = (ceiling, training, latency, inference, attention, determinism)
    return "\n".join([heading, *("\n".join(part(kept)) + "\n" for part in parts if part.__name__ in kept)])


def ceiling(kept: Kept) -> Iterator[str]:
    """Rates of large operations."""
    yield "| precision | large convolution, TFLOP/s | large matrix product, TFLOP/s |\n|---|---|---|"
    for name, row in kept["ceiling"].items():
        yield f"| {name} | {row['convolution_tflops']:.3g} | {row['product_tflops']:.3g} |"


def training(kept: Kept) -> Iterator[str]:
    """Rates of training steps, and their share of the device's largest rate in that precision."""
    yield "| training step | frames/s | TFLOP/s | of the ceiling | memory, MB |\n|---|---|---|---|---|"
    for name, row in kept["training"].items():
        yield (
            f"| {name} | {row['frames_per_second']:.4g} | {row['tflops']:.3g} | {_share(kept, name, row)} | "
            f"{row['peak_mb']:.0f} |"
        )


def latency(kept: Kept) -> Iterator[str]:
    """Times of single frames."""
    yield "| one frame | ms | Hz | memory, MB |\n|---|---|---|---|"
    for name, row in kept["latency"].items():
        yield f"| {name} | {row['milliseconds']:.3g} | {row['hertz']:.3g} | {row['peak_mb']:.0f} |"


def inference(kept: Kept) -> Iterator[str]:
    """Rates of networks alone."""
    yield "| network alone | frames/s | TFLOP/s | of the ceiling |\n|---|---|---|---|"
    for name, row in kept["inference"].items():
        yield f"| {name} | {row['frames_per_second']:.4g} | {row['tflops']:.3g} | {_share(kept, name, row)} |"


def attention(kept: Kept) -> Iterator[str]:
    """Errors of attention."""
    yield "| attention | largest error | relative error of outputs | of gradients |\n|---|---|---|---|"
    for name, row in kept["attention"].items():
        errors = " | ".join(f"{row[key]:.1e}" for key in ("output_max", "output_relative", "gradient_relative"))
        yield f"| {name} | {errors} |"


def determinism(kept: Kept) -> Iterator[str]:
    """Repeated trainings."""
    yield "| with `--deterministic` | two runs bit-equal | frames/s |\n|---|---|---|"
    for name, row in kept["determinism"].items():
        yield f"| {name} | {'yes' if row['bit_equal'] else 'no'} | {row['frames_per_second']:.4g} |"


def _share(kept: Kept, name: str, row: Kept) -> str:
    precision = next((each for each in kept.get("ceiling", {}) if f", {each}" in name), None)
    if precision is None:
        return ""
    largest = max(rate for name, rate in kept["ceiling"][precision].items() if name.endswith("tflops"))
    return f"{row['tflops'] / largest:.0%}"
