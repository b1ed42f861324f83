"""The record of a training run that is saved with the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from echodepth.core.errors import ConfigError
from echodepth.core.field_of_view import FieldOfView


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
        field_of_view: of the camera of the training data, for point clouds; on disk two angles in degrees.
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
    field_of_view: FieldOfView | None = None

    def to_plain(self) -> dict[str, Any]:
        """The known fields by name, as plain values for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
        if self.field_of_view is not None:
            plain["field_of_view"] = list(self.field_of_view.degrees)
        return {name: value for name, value in plain.items() if value is not None and value != {}}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "RunRecord":
        """The record of plain values.

        Raises:
            ValueError: a name is not that of a field, or the field of view is not two angles.
        """
        if unknown := sorted(set(values) - {each.name for each in fields(cls)}):
            raise ValueError(f"a run record has no {', '.join(unknown)}")
        if "field_of_view" in values:
            try:
                values = {**values, "field_of_view": FieldOfView(*values["field_of_view"])}
            except (ConfigError, TypeError) as error:
                raise ValueError(f"field_of_view: {error}") from error
        return cls(**values)
