"""The record of a training run that is saved with the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from echodepth.core.errors import ConfigError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.run_paths import EXPERIMENT_NAMES, is_experiment_name

_TYPES: dict[Any, tuple[str, ...]] = {
    str: ("kind", "experiment_name", "version", "teacher", "data_licence", "data_limits", "provenance"),
    int: ("seed", "epoch"),
    float: ("dtype_error",),
    Mapping: ("data", "flags", "validation", "tests"),
}


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
        is_loaded: whether the record was read from a file, which may be anyone's: it then chooses no file to read, see
            ``echodepth.data.recorded``. Not part of the file.
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
    is_loaded: bool = field(default=False, compare=False, metadata={"saved": False})

    def to_plain(self) -> dict[str, Any]:
        """The known fields by name, as plain values for JSON."""
        values = {name: getattr(self, name) for name in _saved_fields()}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        if self.field_of_view is not None:
            plain["field_of_view"] = list(self.field_of_view.degrees)
        return {name: value for name, value in plain.items() if value is not None and value != {}}

    @classmethod
    def from_plain(cls, values: Any) -> "RunRecord":
        """The record in a file.

        Raises:
            ValueError: it has another field, or a field has another type; the experiment's name cannot be that of a
                folder, or the field of view is not two angles.
        """
        _check(values)
        if "field_of_view" in values:
            try:
                values = {**values, "field_of_view": FieldOfView(*values["field_of_view"])}
            except (ConfigError, TypeError) as error:
                raise ValueError(f"field_of_view: {error}") from error
        return cls(**values, is_loaded=True)


def _saved_fields() -> list[str]:
    return [each.name for each in fields(RunRecord) if each.metadata.get("saved", True)]


def _check(values: Any) -> None:
    """Raise a ValueError if a record from a file has other fields or types, or a name that is none of a folder."""
    if not isinstance(values, Mapping):
        raise ValueError(f"the run record is {values!r}")
    if unknown := sorted(map(str, set(values) - {*_saved_fields()})):
        raise ValueError(f"a run record has no {', '.join(unknown)}")
    for expected, names in _TYPES.items():
        for name in names:
            value = values.get(name)
            if value is not None and not isinstance(value, expected):
                raise ValueError(f"{name} of the run record is {value!r}")
            if isinstance(value, str) and not value.replace("\n", " ").isprintable():
                raise ValueError(f"{name} of the run record is {value!r}, which cannot be printed")
    if values.get("dtype") not in (None, "float16"):
        raise ValueError(f"dtype of the run record is {values['dtype']!r}: it is float16 or left out")
    for title, metrics in (values.get("tests") or {}).items():
        if not isinstance(metrics, Mapping) or not all(isinstance(each, int | float) for each in metrics.values()):
            raise ValueError(f"tests of the run record, {title!r}: {metrics!r}")
    experiment = values.get("experiment_name", RunRecord.experiment_name)
    if experiment is None or not is_experiment_name(experiment):
        # It names folders below results/.
        raise ValueError(f"the run record names its experiment {experiment!r}: a name has {EXPERIMENT_NAMES}")
