"""The camera of a point cloud: what the flags say, otherwise the camera that the model was trained with."""

import logging
from dataclasses import dataclass, field

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.inference.config import PredictConfig
from echodepth.inference.point_cloud import Intrinsics
from echodepth.inference.predictor import Predictor

log = logging.getLogger(__name__)

SAME_SHAPE = 0.1
"""Largest relative difference of two aspect ratios of one camera: 86 x 57 degrees are 3.4 % narrower than 16:9."""


@dataclass(frozen=True)
class CloudCamera:
    """The intrinsics of images and depth maps of any size.

    A square map, or a square image, has been resized from the shape of the camera: its pixels are wider than high.

    Attributes:
        model: name of the model, for messages.
        known: field of view of the camera that the model was trained with; None if it is not known.
        is_audio: whether the model takes recordings, whose maps always cover the view of that camera.
        horizontal: ``--fov``, in degrees.
        vertical: ``--vertical_fov``, in degrees.
        intrinsics: ``--intrinsics``.
    """

    model: str
    known: FieldOfView | None
    is_audio: bool
    horizontal: float | None = None
    vertical: float | None = None
    intrinsics: Intrinsics | None = None
    _warned: set[tuple[int, int]] = field(default_factory=set, init=False, compare=False, repr=False)

    @classmethod
    def of(cls, predictor: Predictor, config: PredictConfig) -> "CloudCamera":
        """The camera of a model and some flags.

        Raises:
            ConfigError: a flag is out of range, two flags contradict each other, or neither flags nor model give a
                camera.
        """
        check_camera_flags(config)
        is_complete = config.intrinsics is not None or config.vertical_fov is not None
        camera = cls(
            predictor.name,
            None if is_complete else predictor.field_of_view,
            predictor.backend.input_key == "audio",
            config.fov,
            config.vertical_fov,
            None if config.intrinsics is None else Intrinsics(*config.intrinsics),
        )
        if not is_complete and config.fov is None and camera.known is None:
            raise ConfigError(
                f"--save ply and glb need the camera, which {predictor.name} does not record: give --fov and "
                "--vertical_fov in degrees, or --intrinsics FX FY CX CY"
            )
        return camera

    def __call__(self, size: tuple[int, int]) -> Intrinsics:
        """The intrinsics of an image, or of a map without an image, of some height and width.

        Raises:
            ConfigError: ``--fov`` leaves the vertical angle of a square map open.
            DataError: the image has another shape than those of the model's camera.
        """
        if self.intrinsics is not None:
            return self.intrinsics
        return Intrinsics.from_field_of_view(self._field_of_view(*size), size)

    def _field_of_view(self, height: int, width: int) -> FieldOfView:
        if self.horizontal is None:
            return self._known_field_of_view(height, width)
        if self.vertical is not None:
            return FieldOfView(self.horizontal, self.vertical)
        if height != width or not (self.is_audio or self.known):
            return FieldOfView.from_width(self.horizontal, width / height)
        if self.known is None:
            raise ConfigError(
                f"--fov {self.horizontal:g}: the map is square whatever the camera sees, and {self.model} does not "
                "record its camera: give --vertical_fov too"
            )
        return FieldOfView.from_width(self.horizontal, self.known.aspect_ratio)

    def _known_field_of_view(self, height: int, width: int) -> FieldOfView:
        assert self.known is not None
        if fits(self.known, height, width):
            return self.known
        shape = (
            f"the image has {width}x{height} pixels, {width / height:.2f} times as wide as high, and the camera of "
            f"{self.model} sees {self.known}, {self.known.aspect_ratio:.2f} times as wide as high"
        )
        if not self.is_audio:
            raise DataError(f"{shape}: give --fov, the horizontal field of view of the camera that took the image")
        if (height, width) not in self._warned:
            self._warned.add((height, width))
            log.warning("%s: the points are placed by the model's camera, and the image does not fit them", shape)
        return self.known


def fits(camera: FieldOfView, height: int, width: int) -> bool:
    """Whether an image can be a camera's: of its shape, or resized to a square."""
    return height == width or abs(width / height / camera.aspect_ratio - 1) <= SAME_SHAPE


def check_camera_flags(config: PredictConfig) -> None:
    """Raise a ConfigError for flags of the camera that are out of range or contradict each other."""
    if config.intrinsics is not None:
        if config.fov is not None or config.vertical_fov is not None:
            raise ConfigError("--intrinsics and --fov both define the camera: give one of them")
        Intrinsics(*config.intrinsics)
    if config.vertical_fov is not None and config.fov is None:
        raise ConfigError("--vertical_fov belongs to --fov, the horizontal field of view: give both")
    for name in ("fov", "vertical_fov"):
        check_angle(name, getattr(config, name))


def check_angle(name: str, degrees: float | None) -> None:
    """Raise a ConfigError if an angle that a flag gives is not between 0 and 180 degrees."""
    if degrees is not None and not 0 < degrees < 180:
        direction = "vertical" if name == "vertical_fov" else "horizontal"
        raise ConfigError(f"--{name} {degrees:g}: give the {direction} field of view, from 0 to 180 degrees")
