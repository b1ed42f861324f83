"""The page that goes with a saved model: what it is, what it learnt from, how well it did, how to use it, its limits.

The lines on top are what the Hugging Face Hub reads of a model, so that a folder can be published as it is.
"""

from collections.abc import Mapping
from typing import Any

from echodepth.models.layers import DepthNet, count_parameters

DATA_LICENCES = {
    "batvisionv1": "BatVision V1, CC BY-SA 4.0 (Brunetto, Hornauer, Yu, Moutarde, arXiv 2303.07257)",
    "batvisionv2": "BatVision V2, CC BY-SA 4.0 (Brunetto, Hornauer, Yu, Moutarde, arXiv 2303.07257)",
    "rgbd": "a folder of RGB-D frames, under its owner's terms",
    "simulated": "rooms that echodepth simulated",
}
COUNTS = ("images", "pixels", "images_without_valid", "bad_predictions")


def write_card(
    network: DepthNet, input_key: str, image_size: int, run: Mapping[str, Any], licence: str | None = None
) -> str:
    """Markdown that says only what is known.

    Args:
        network: one of the project's networks.
        input_key: ``image`` or ``audio``.
        image_size: side of the depth map in pixels.
        run: what is known of the training, as in ``DepthModel``.
        licence: of the weights, as the Hub spells it.
    """
    takes = "one colour image" if input_key == "image" else "a chirp's echoes at two ears"
    name = run.get("experiment_name", "Untitled model")
    lines = [
        *_front_matter(input_key, licence),
        f"# {name}",
        "",
        f"Depth in metres, up to {network.max_depth:g}, from {takes}: `{type(network).__name__}` with "
        f"{count_parameters(network) / 1e6:.2f} M parameters, {image_size}x{image_size} pixels. Made with echodepth.",
        "",
        *_training(run),
        *_validation(run),
        *_use(network, input_key),
        *_limits(network, input_key, run),
        *_licence(run, licence),
    ]
    return "\n".join(lines)


def _front_matter(input_key: str, licence: str | None) -> list[str]:
    tags = ["depth-estimation", *(["echolocation", "binaural-audio"] if input_key == "audio" else ["monocular-depth"])]
    known = ["library_name: echodepth", "pipeline_tag: depth-estimation"]
    known += [f"license: {licence}"] if licence else []
    return ["---", *known, "tags:", *(f"- {tag}" for tag in tags), "---", ""]


def _training(run: Mapping[str, Any]) -> list[str]:
    data, flags = run.get("data", {}), run.get("flags", {})
    facts = {
        "run": run.get("kind"),
        "data": data.get("dataset"),
        "locations": ", ".join(data.get("locations") or ()) or None,
        "left out": data.get("leave_out"),
        "share of the rooms with labels": flags.get("label_fraction"),
        "teacher": run.get("teacher"),
        "seed": run.get("seed"),
        "best epoch": run.get("epoch"),
        "version": run.get("version"),
    }
    return ["## Training", "", *(f"- {name}: {value}" for name, value in facts.items() if value is not None), ""]


def _validation(run: Mapping[str, Any]) -> list[str]:
    validation: Mapping[str, float] = run.get("validation") or {}
    if not validation:
        return []
    figures = [name for name in validation if name not in COUNTS and not name.startswith("pooled_")]
    counted = [f"{validation[name]:.0f} {name.replace('_', ' ')}" for name in COUNTS if name in validation]
    over = f" ({', '.join(counted)})" if counted else ""
    rows = []
    for name in figures:
        pooled = validation.get(f"pooled_{name}")
        rows.append(f"| {name} | {validation[name]:.4f} | {'' if pooled is None else f'{pooled:.4f}'} |")
    return [
        "## Validation",
        "",
        f"Protocol `valid`: pixels whose depth was measured, over the validation split{over}, which also chose the "
        "epoch. Depths and errors in metres.",
        "",
        "| metric | mean over images | over all pixels |",
        "|---|---|---|",
        *rows,
        "",
    ]


def _use(network: DepthNet, input_key: str) -> list[str]:
    file = "room.jpg" if input_key == "image" else "room.wav"
    lines = [
        "## Use",
        "",
        "```python",
        "from echodepth import load_model",
        "",
        'model = load_model("this folder")  # or its id on the Hugging Face Hub',
        f'estimate = model.infer("{file}")',
        "print(estimate.depth)  # metres, float32",
    ]
    if network.uncertainty_head is not None:
        lines += ["print(estimate.uncertainty)  # metres that depth is expected to be off"]
    return [*lines, "```", ""]


def _limits(network: DepthNet, input_key: str, run: Mapping[str, Any]) -> list[str]:
    limits = [f"Nothing is ever predicted farther than {network.max_depth:g} m."]
    if input_key == "audio":
        limits += [
            "It knows the loudspeaker, the chirp, the ears and the rooms that it learnt from; another rig needs "
            "training of its own.",
            "Two channels, left ear first. Distance is measured from the direct sound, which must be in the recording.",
        ]
    else:
        limits += ["It knows the cameras and the places that it learnt from, and squeezes every picture to a square."]
    if run.get("data", {}).get("dataset") == "simulated":
        limits += ["It has met simulated rooms alone; how well it does in real ones is not known."]
    if network.uncertainty_head is None:
        limits += ["It does not say where it is unsure."]
    limits += ["Not fit for steering anything that can do harm."]
    return ["## Limits", "", *(f"- {limit}" for limit in limits), ""]


def _licence(run: Mapping[str, Any], licence: str | None) -> list[str]:
    own = f"The weights: {licence}. " if licence else ""
    dataset = run.get("data", {}).get("dataset")
    data = f"Learnt from {DATA_LICENCES[dataset]}. " if dataset in DATA_LICENCES else ""
    return ["## Licence", "", f"{own}{data}The code, echodepth: MIT.", ""]
