"""The page that goes with a saved model: what it is, what it was trained on, how well it did, how to use it."""

from typing import TYPE_CHECKING

from echodepth.models.layers import count_parameters

if TYPE_CHECKING:
    from echodepth.models.store import DepthModel


def write_card(model: "DepthModel") -> str:
    """Markdown that says of ``model`` only what is known."""
    run = model.run
    takes = "one colour image" if model.input_key == "image" else "a chirp's echoes at two ears"
    lines = [
        f"# {run.get('experiment_name', 'Untitled model')}",
        "",
        f"Depth in metres, up to {model.max_depth:g}, from {takes}: `{type(model.network).__name__}` with "
        f"{count_parameters(model.network) / 1e6:.2f} M parameters, {model.image_size}x{model.image_size} pixels.",
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
        f"depth = model({model.input_key})  # {model.input_key}: "
        + ("[B, 3, H, W] in 0..1" if model.input_key == "image" else "[B, 2, T], full scale 1, left ear first"),
        "```",
        "",
    ]
    return "\n".join(lines)
