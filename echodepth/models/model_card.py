"""The model card: what the model is, its training data, its validation metrics, its use, limits and licence.

The lines at the top are the metadata that the Hugging Face Hub reads, so that a model folder can be published as it is.
"""

from echodepth.models.layers import DepthNet, count_parameters
from echodepth.models.run_record import RunRecord

COUNTS = ("images", "pixels", "images_without_valid", "bad_predictions")


def write_card(network: DepthNet, image_size: int, run: RunRecord, licence: str | None = None) -> str:
    """The card as Markdown, with a line for each fact that is known.

    Args:
        network: the network.
        image_size: side of the depth map in pixels.
        run: the record of its training.
        licence: of the weights, as the Hub spells it.
    """
    source = "one colour image" if network.modality == "image" else "the binaural echoes of a chirp"
    lines = [
        *_front_matter(network, licence),
        f"# {run.experiment_name or 'Untitled model'}",
        "",
        f"Depth in metres, up to {network.max_depth:g}, from {source}: `{type(network).__name__}` with "
        f"{count_parameters(network) / 1e6:.2f} M parameters, {image_size}x{image_size} pixels. Made with echodepth.",
        "",
        *_training(run),
        *_validation(run),
        *_tests(run),
        *_use(network),
        *_limits(network, run),
        *_licence(run, licence),
    ]
    return "\n".join(lines)


def _front_matter(network: DepthNet, licence: str | None) -> list[str]:
    tags = ["echolocation", "binaural-audio"] if network.modality == "audio" else ["monocular-depth"]
    metadata = ["library_name: echodepth", "pipeline_tag: depth-estimation"]
    metadata += [f"license: {licence}"] if licence else []
    return ["---", *metadata, "tags:", *(f"- {tag}" for tag in ("depth-estimation", *tags)), "---", ""]


def _training(run: RunRecord) -> list[str]:
    facts = {
        "run": run.kind,
        "data": run.data.get("dataset"),
        "locations": ", ".join(run.data.get("locations") or ()) or None,
        "field of view of the camera": run.field_of_view,
        "left out": run.data.get("leave_out"),
        "fraction of the rooms with labels": run.flags.get("label_fraction"),
        "teacher": run.teacher,
        "fine-tuned from": run.flags.get("init"),
        "seed": run.seed,
        "best epoch": run.epoch,
        "version": run.version,
    }
    return ["## Training", "", *(f"- {name}: {value}" for name, value in facts.items() if value is not None), ""]


def _validation(run: RunRecord) -> list[str]:
    validation = run.validation
    if not validation:
        return []
    metrics = [name for name in validation if name not in COUNTS and not name.startswith("pooled_")]
    counts = [f"{validation[name]:.0f} {name.replace('_', ' ')}" for name in COUNTS if name in validation]
    over = f" ({', '.join(counts)})" if counts else ""
    rows = []
    for name in metrics:
        pooled = validation.get(f"pooled_{name}")
        rows.append(f"| {name} | {validation[name]:.4f} | {'' if pooled is None else f'{pooled:.4f}'} |")
    return [
        "## Validation",
        "",
        f"Protocol `valid`: pixels with ground truth, over the validation split{over}, which also selected the epoch. "
        "Depths and errors in metres.",
        "",
        "| metric | mean over images | over all pixels |",
        "|---|---|---|",
        *rows,
        "",
    ]


def _tests(run: RunRecord) -> list[str]:
    if not run.tests:
        return []
    names = list(dict.fromkeys(name for metrics in run.tests.values() for name in metrics))
    cells = [["metric", *run.tests], ["---"] * (1 + len(run.tests))]
    for name in names:
        values = (metrics.get(name) for metrics in run.tests.values())
        cells.append([name, *("" if value is None else f"{value:.4g}" for value in values)])
    return ["## Tests", "", "Data that took no part in training.", "", *(f"| {' | '.join(row)} |" for row in cells), ""]


def _use(network: DepthNet) -> list[str]:
    file = "room.jpg" if network.modality == "image" else "room.wav"
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
        lines += ["print(estimate.uncertainty)  # predicted uncertainty: Laplace scale, metres"]
    return [*lines, "```", ""]


def _limits(network: DepthNet, run: RunRecord) -> list[str]:
    limits = [f"Predictions never exceed {network.max_depth:g} m."]
    if network.modality == "audio":
        limits += [
            "The model is specific to the loudspeaker, chirp, microphones and rooms of its training data; another rig "
            "needs training of its own.",
            "Recordings have two channels, left ear first. Distance is measured from the direct sound, which must be "
            "in the recording.",
        ]
    else:
        limits += [
            "The model is specific to the cameras and scenes of its training data. It resizes images to a square."
        ]
    limits += [run.data_limits] if run.data_limits else []
    if run.dtype is not None:
        change = "" if run.dtype_error is None else f", which changes depth by at most {run.dtype_error:.2g} m"
        limits += [f"The weights are stored in {run.dtype}{change}; they are computed with in float32."]
    if network.uncertainty_head is None:
        limits += ["The model predicts no uncertainty."]
    limits += ["Not suitable for controlling anything that can do harm."]
    return ["## Limits", "", *(f"- {limit}" for limit in limits), ""]


def _licence(run: RunRecord, licence: str | None) -> list[str]:
    weights = f"Weights: {licence}. " if licence else ""
    data = f"Training data: {run.data_licence}. " if run.data_licence else ""
    return ["## Licence", "", f"{weights}{data}Code, echodepth: MIT.", ""]
