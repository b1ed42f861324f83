"""Ablations of an audio model: what its scores owe to the ears and to the attention between them.

An ablation changes the waveforms before the front end, whatever form of audio the model was trained on, or the model. A
network that uses the difference between the ears has a far lower ``left_right`` with one ear on both sides, and, with
swapped ears, the opposite one. An ablation that changes nothing shows what the network does not use.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError
from echodepth.core.strict_json import to_json
from echodepth.data.streaming.index import is_sharded
from echodepth.evaluation.config import Control, ScoringConfig
from echodepth.evaluation.differences import Difference
from echodepth.evaluation.formatting import DIRECTION_SENTENCE, brackets, signed_interval
from echodepth.evaluation.intervals import Bounds, Resampling, metric_table
from echodepth.evaluation.results import Evaluation, plain_facts
from echodepth.evaluation.scoring import CONTROL_LABELS, AudioChange, score_model, scored_data
from echodepth.metrics.direction import SCORE_TABLE
from echodepth.metrics.protocols import get_protocol
from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.checkpoint import DepthModel
from echodepth.report.formatting import markdown_table, number, signed

COLUMNS = ("rmse", "abs_rel", "delta1", "left_right", "up_down")
"""Scores of the tables; the JSON file has all."""
VERDICTS = ("rmse", "left_right")
"""Scores whose differences the tables put into words."""
UNCHANGED = "no ablation"
Waveforms = Float[Tensor, "b 2 t"]


@dataclass(frozen=True)
class Ablation:
    """A change that takes something from an audio model.

    Attributes:
        label: in tables.
        audio: change of the waveforms, left ear first; None for none.
        model: change of the model, which returns a copy; None for none.
    """

    label: str
    audio: AudioChange | None = None
    model: Callable[[DepthModel], DepthModel] | None = None


def swap_ears(audio: Waveforms) -> Waveforms:
    """The left ear's waveform on the right and the right ear's on the left."""
    return audio.flip(1)


def left_ear_only(audio: Waveforms) -> Waveforms:
    """The left ear's waveform on both sides."""
    return audio[:, [0, 0]]


def right_ear_only(audio: Waveforms) -> Waveforms:
    """The right ear's waveform on both sides."""
    return audio[:, [1, 1]]


def equal_ears(audio: Waveforms) -> Waveforms:
    """The mean of both ears on both sides."""
    return audio.mean(dim=1, keepdim=True).expand(-1, 2, -1)


def without_attention(model: DepthModel) -> DepthModel:
    """A copy whose cross-attention adds nothing, because its gates are 0."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for layer in _attention_layers(changed):
            layer.gate.zero_()
    return changed


ABLATIONS: dict[str, Ablation] = {
    "ears_swapped": Ablation("ears swapped", audio=swap_ears),
    "left_ear_only": Ablation("left ear on both sides", audio=left_ear_only),
    "right_ear_only": Ablation("right ear on both sides", audio=right_ear_only),
    "ears_equal": Ablation("mean of the ears on both sides", audio=equal_ears),
    "attention_off": Ablation("attention off", model=without_attention),
}
"""Ablations by name, in the order of tables. ``attention_off`` is for networks with cross-attention."""


@dataclass(frozen=True)
class AblationRow:
    """Scores of the model under one ablation, or of a control in its place.

    Attributes:
        name: key in ``ABLATIONS``, a control, or "none" for the unchanged model.
        label: in tables.
        means: means and correlations over images, by score.
        intervals: their confidence intervals; None where there are none.
        difference: to the unchanged model, this row minus that one; None for the unchanged model itself.
    """

    name: str
    label: str
    means: dict[str, float]
    intervals: dict[str, Bounds | None]
    difference: Difference | None


@dataclass(frozen=True)
class AblationStudy:
    """All ablations and controls of one model.

    Attributes:
        evaluation: of the unchanged model.
        rows: the unchanged model, ablations, controls.
        resampling: what the confidence intervals resample.
        notes: what is missing from the rows, and why.
    """

    evaluation: Evaluation
    rows: list[AblationRow]
    resampling: Resampling
    notes: list[str]

    @property
    def lines(self) -> str:
        """Lines for the terminal, one for each row."""
        width = max(len(row.label) for row in self.rows)
        lines = []
        for row in self.rows:
            scores = "  ".join(f"{name} {number(row.means[name])}" for name in COLUMNS)
            verdicts = "" if row.difference is None else "  " + row.difference.verdict()
            lines.append(f"{row.label:{width}}  {scores}{verdicts}")
        return "\n".join([*lines, *self.notes])

    @property
    def markdown(self) -> str:
        """The scores, and the differences to the unchanged model, as tables."""
        first = self.evaluation
        mirrored = ", averaged with the mirrored input" if first.model["mirror_average"] else ""
        headings = [SCORE_TABLE[name].heading for name in COLUMNS]
        scores = [
            [row.label, *(f"{number(row.means[name])} {brackets(row.intervals[name])}".strip() for name in COLUMNS)]
            for row in self.rows
        ]
        differences = [
            [row.label, *(each.verdict(name) for name in VERDICTS)]
            + [f"{signed(each.means[name])} {signed_interval(each, name)}".strip() for name in COLUMNS]
            for row in self.rows
            if (each := row.difference) is not None
        ]
        parts = [
            f"# Ablations of {first.experiment}",
            f"{first.counts['images']} frames of the {first.split} split of {first.dataset} under protocol "
            f"{first.protocol} ({get_protocol(first.protocol).description}){mirrored}; mean over images.",
            markdown_table(["ablation", *headings], scores),
            f"{self.resampling.sentence} {DIRECTION_SENTENCE}",
            *self.notes,
            "## Differences",
            markdown_table(
                ["ablation", *(f"verdict, {SCORE_TABLE[name].title}" for name in VERDICTS), *headings], differences
            ),
            _difference_sentence(self.resampling),
            f"echodepth {first.version}, commit {first.commit}.",
        ]
        return "\n\n".join(parts) + "\n"

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        rows = [
            asdict(row) | {"difference": None if row.difference is None else row.difference.facts()}
            for row in self.rows
        ]
        return {
            "rows": rows,
            "resampling": self.resampling.facts(),
            "notes": self.notes,
            "evaluation": plain_facts(self.evaluation),
        }


def check_ablations(model: DepthModel, control: Control) -> None:
    """Check that the ablations apply.

    Raises:
        ConfigError: the model takes images, or a control is requested in its place.
    """
    if model.input_key != "audio":
        raise ConfigError(
            f"--ablate: {model.run.experiment_name} takes images, and the ablations change the audio of its two ears: "
            "give an audio model"
        )
    if control != "none":
        raise ConfigError(f"--ablate scores the controls as well: leave --control {control} out")


def ablate(model: DepthModel, config: ScoringConfig, unchanged: Evaluation) -> AblationStudy:
    """Score a model under all ablations that it has, and its controls.

    Args:
        model: an audio model, in eval mode; stays as it is.
        config: data and protocol, those of ``unchanged``.
        unchanged: the model's own evaluation.

    Raises:
        ConfigError: see ``score_model``.
        DataError: the data are missing or, without ``skip_bad``, bad.
    """
    evaluations = {"none": (UNCHANGED, unchanged)}
    for name, ablation in ABLATIONS.items():
        if name == "attention_off" and not _attention_layers(model):
            continue
        changed = model if ablation.model is None else ablation.model(model)
        evaluations[name] = ablation.label, score_model(changed, config, change_audio=ablation.audio)
    controls: tuple[Control, ...] = ("shuffled_audio", "mean_depth")
    notes = []
    if is_sharded(scored_data(model, config)):
        controls = ("mean_depth",)
        notes.append("No shuffled-audio control: shards are read sequentially.")
    for control in controls:
        evaluations[control] = CONTROL_LABELS[control], score_model(model, config, control)
    images = [row["name"] for row in unchanged.rows]
    contenders = [evaluation.rows for _, evaluation in evaluations.values()]
    table = metric_table(contenders, images, unchanged.dataset, config.seed)
    means = [table.mean(index) for index in range(len(evaluations))]
    rows = []
    for index, (name, (label, _)) in enumerate(evaluations.items()):
        difference = None
        if index:
            change = {score: value - means[0][score] for score, value in means[index].items()}
            difference = Difference(label, UNCHANGED, "none", change, table.intervals(index, 0))
        rows.append(AblationRow(name, label, means[index], table.intervals(index), difference))
    return AblationStudy(unchanged, rows, table.resampling, notes)


def write_ablations(study: AblationStudy, folder: Path) -> None:
    """Write ``ablations.json`` and ``ablations.md``."""
    for name, text in (("ablations.json", to_json(study.facts())), ("ablations.md", study.markdown)):
        with atomic_write(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def _attention_layers(model: DepthModel) -> list[CrossAttention]:
    return [module for module in model.modules() if isinstance(module, CrossAttention)]


def _difference_sentence(resampling: Resampling) -> str:
    start = f"Each row minus {UNCHANGED}"
    if resampling.problem:
        return f"{start}. No verdicts: {resampling.problem}."
    return (
        f"{start}, with the 95 % confidence interval of the difference, paired over {resampling.unit}. A difference is "
        "not distinguishable where its interval contains 0."
    )
