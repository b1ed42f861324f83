"""The page that goes with a saved model: what it is, what it was trained on, how well it did, how to use it."""

from collections.abc import Mapping
from typing import Any

from echodepth.models.layers import DepthNet, count_parameters


def write_card(network: DepthNet, input_key: str, image_size: int, run: Mapping[str, Any]) -> str:
    """Markdown that says only what is known.

    Args:
        network: one of the project's networks.
        input_key: ``image`` or ``audio``.
        image_size: side of the depth map in pixels.
        run: what is known of the training, as in ``DepthModel``.
    """
    takes = "one colour image" if input_key == "image" else "a chirp's echoes at two ears"
    lines = [
        f"# {run.get('experiment_name', 'Untitled model')}",
        "",
        f"Depth in metres, up to {network.max_depth:g}, from {takes}: `{type(network).__name__}` with "
        f"{count_parameters(network) / 1e6:.2f} M parameters, {image_size}x{image_size} pixels.",
        "",
        "## Training",
        "",
    ]
    data = run.get("data", {})
    facts = {
        "run": run.get("kind"),
        "data": data.get("dataset"),
        "teacher": run.get("teacher"),
        "seed": run.get("seed"),
        "best epoch": run.get("epoch"),
    }
    lines += [f"- {name}: {value}" for name, value in facts.items() if value is not None]
    if validation := run.get("validation"):
        lines += ["", "## Validation", "", "| metric | mean over images |", "|---|---|"]
        lines += [f"| {name} | {value:.4f} |" for name, value in validation.items()]
    lines += [
        "",
        "## Use",
        "",
        "```python",
        "from echodepth.models.store import load_model",
        "",
        'model = load_model("this folder")  # front end included',
        f"depth = model({input_key})  # {input_key}: "
        + ("[B, 3, H, W] in 0..1" if input_key == "image" else "[B, 2, T], full scale 1, left ear first"),
    ]
    if network.scale_head is not None:
        lines += [f"depth, scale, _ = model.predict({input_key})  # scale: metres that depth is expected to be off"]
    lines += ["```", ""]
    return "\n".join(lines)
