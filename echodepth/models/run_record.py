"""The record of a training run that is saved with the weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from echodepth.core.field_of_view import FieldOfView
from echodepth.core.run_paths import EXPERIMENT_NAMES, is_experiment_name
from echodepth.core.schema import parse


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What is known of the training of a model. A field that is not known has its default.

    Attributes:
        kind: ``rgb``, ``binaural`` or ``distill``.
        experiment_name: name of the run; ``unnamed`` if it is not recorded.
        seed: of all randomness.
        version: of the package.
        data: data settings by flag, as plain values.
        flags: the other flags that determine the weights, as plain values.
        teacher: of a distillation, as its ``--teacher`` names it.
        epoch: the saved epoch, counted from 1.
        validation: metrics of that epoch by name.
        data_licence: title and licence of the training data, for the model card.
        data_limits: what models trained on these data are not known to do, for the model card.
        dtype: number format of the saved weights, ``float16``; None for that of training.
        dtype_error: largest change of depth by that format, in metres, over the inputs of its trial.
        tests: metrics by name, for each test set by its title, for the model card.
        provenance: ``simulated`` or ``partly simulated`` training data, whatever dataset they were read as.
        field_of_view: of the camera of the training data, for point clouds; on disk two angles in degrees.
        read_from: file that holds the record, which may be anyone's: it then chooses no file to read, see
            ``echodepth.data.recorded``. None for a run of this process. Not part of the file.
    """

    kind: str | None = None
    experiment_name: str = "unnamed"
    seed: int | None = None
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    epoch: int | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    data_licence: str | None = None
    data_limits: str | None = None
    dtype: Literal["float16"] | None = None
    dtype_error: float | None = None
    tests: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    provenance: str | None = None
    field_of_view: FieldOfView | None = None
    read_from: str | None = field(default=None, compare=False, metadata={"saved": False})

    def to_plain(self) -> dict[str, Any]:
        """The known fields by name, as plain values for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.metadata.get("saved", True)}
        # JSON knows no NaN: a metric without a value is not known.
        values["validation"] = _finite(self.validation)
        values["tests"] = {title: _finite(metrics) for title, metrics in self.tests.items()}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        if self.field_of_view is not None:
            plain["field_of_view"] = list(self.field_of_view.degrees)
        return {name: value for name, value in plain.items() if value is not None and value != {}}

    @classmethod
    def from_plain(cls, values: Any, read_from: str | Path) -> "RunRecord":
        """The record in a file.

        Args:
            values: the record, as JSON gives it.
            read_from: the file, for messages.

        Raises:
            ValueError: it has another field, or a field has another type; the experiment's name cannot be that of a
                folder, a text cannot be printed, or the field of view is not two angles.
        """
        record = replace(parse(cls, values, "run"), read_from=str(read_from))
        for name, text in vars(record).items():
            if isinstance(text, str) and not text.replace("\n", " ").isprintable():
                raise ValueError(f"run.{name} is {text!a}, which cannot be printed")
        if not is_experiment_name(record.experiment_name):
            # It names folders below results/.
            raise ValueError(f"run.experiment_name is {record.experiment_name!a}: a name has {EXPERIMENT_NAMES}")
        return record


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
