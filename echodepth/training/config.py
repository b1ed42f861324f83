"""The flags of training, in groups. A field's docstring is its help text.

Which flags a run has depends on its kind, network, front end and dataset: ``config_class`` composes them from the
registries, and ``train_config`` builds a config from flags by name.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, ClassVar, Literal, overload

import tyro

from echodepth.core.errors import ConfigError
from echodepth.core.flags import TrueOrFalse, build, compose
from echodepth.core.registry import Registry, did_you_mean
from echodepth.data.config import DataConfig
from echodepth.data.flag_groups import data_group
from echodepth.data.records import Modality, Split
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.losses import LOSSES
from echodepth.losses.total import Curriculum
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.networks import NETWORKS

FLAGS_NOT_COMPARED = frozenset(
    {
        *("experiment_name", "seed", "teacher", "checkpoints", "save_frequency", "overwrite"),
        *("num_workers", "device", "use_prepared", "compile", "channels_last", "activation_checkpointing"),
        *("use_wandb", "wandb_project", "use_tensorboard"),
    }
)
"""Names, folders, logging and ways to compute, which change weights by rounding at most; a run records seed and teacher
apart."""


@dataclass(frozen=True, kw_only=True)
class TrainingDataConfig:
    """Labels and augmentation of the training split."""

    label_fraction: float = 1.0
    """Share of the training rooms whose ground truth is used; rooms without it serve distillation only."""
    label_seed: int = 0
    """Seed that draws the labelled rooms; a smaller share is a subset of a larger one."""
    flip: TrueOrFalse = True
    """Mirror half of the training frames left to right, ears included."""
    color_jitter: float = 0.2
    """Strength of random brightness, contrast and saturation of the images, 0 to 1; 0 is off."""


@dataclass(frozen=True, kw_only=True)
class AudioTrainingDataConfig(TrainingDataConfig):
    """Labels and augmentation of the training split."""

    spec_masks: int = 0
    """Bands of time and of frequency masked in each training spectrogram (SpecAugment); 0 is off."""


@dataclass(frozen=True, kw_only=True)
class OptimisationConfig:
    """Optimiser, schedule and length of the run."""

    batch_size: int = 64
    """Frames per step and device."""
    learning_rate: float = 1e-4
    """Initial learning rate; the scheduler lowers it."""
    nb_epochs: int = 200
    """Total number of epochs, including those before a resume."""
    optimizer: Literal["Adam", "AdamW", "SGD"] = "AdamW"
    """Optimiser; SGD has momentum 0.9."""
    weight_decay: float = 0.01
    """Weight decay: decoupled with AdamW, an L2 penalty with Adam and SGD."""
    scheduler: Literal["none", "cosine", "step"] = "cosine"
    """Learning rate schedule. cosine: to zero over the run; step: divided by ten after each third."""
    gradient_clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    accumulate: int = 1
    """Batches whose gradients are accumulated for one optimiser step."""
    ema_decay: float | None = None
    """Decay of the exponential moving average of the weights, such as 0.999; the average is validated and saved."""


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """Knowledge distillation from a frozen teacher."""

    teacher: str
    """Model folder, .pth file, experiment name, or Hugging Face depth model: hf:ORG/NAME or hf:FOLDER."""
    teacher_align: Literal["auto", "none", "scale", "affine"] = "auto"
    """Fit of teacher depth to ground truth in metres: none, scale, or scale and shift of inverse depth."""
    teacher_cache: TrueOrFalse = True
    """Use teacher outputs cached by `echodepth cache-teacher` where they match these frames and losses."""
    pseudo_labels: TrueOrFalse = True
    """Use teacher depth as pseudo-labels where ground truth is missing."""
    kd_schedule: Literal["constant", "warmup", "decay"] = "constant"
    """Schedule of all distillation weights: constant, rising over the first fifth, or falling to zero."""
    shuffle_teacher: bool = False
    """Control: the teacher is given another frame of the batch."""


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """Devices, precision and data loading."""

    use_prepared: TrueOrFalse = True
    """Read the memory-mapped arrays of `echodepth prepare` where they match the dataset."""
    num_workers: int | None = None
    """Data loading processes; 0 loads in the main process. Default: 0 for prepared data, else up to 4."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to train on."""
    devices: int = 1
    """Number of devices on this machine."""
    num_nodes: int = 1
    """Number of machines."""
    strategy: str = "auto"
    """Lightning strategy, such as ddp for several devices."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true"
    """Lightning precision; mixed precisions keep weights, losses and front end in 32 bits."""
    channels_last: bool = False
    """Use the channels-last memory format: for GPUs with tensor cores and a mixed precision."""
    compile: bool = False
    """Compile the network's training step with torch.compile; the first steps take minutes."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    sync_batchnorm: bool | None = None
    """Synchronise batch norm over all devices. Default: on with several CUDA devices."""


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """Experiment trackers."""

    use_wandb: bool = False
    """Log to Weights & Biases; WANDB_MODE=offline needs no account."""
    wandb_project: str = "echodepth"
    """Weights & Biases project."""
    use_tensorboard: bool = False
    """Log to TensorBoard under logs/<experiment>."""


@dataclass(frozen=True, kw_only=True)
class NetworkChoice:
    """Network and front end, with the flags of both."""

    model: str
    """Network to train."""
    front_end: str
    """Front end that turns the input into what the network takes."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a depth network.

    The types of ``data``, ``network``, ``loss`` and ``distillation`` are composed by ``config_class``.
    """

    kind: ClassVar[str]
    modality: ClassVar[Modality]

    experiment_name: str
    """Name of the folders under checkpoints/, results/ and logs/."""
    seed: int = 0
    """Random seed of the whole run: the same command twice gives the same numbers."""
    checkpoints: int | None = None
    """Resume from the end of this epoch."""
    save_frequency: int = 2
    """Epochs between two checkpoints and pictures of results."""
    overwrite: bool = False
    """Delete the experiment's earlier checkpoints and start over."""

    data: DataConfig
    training_data: TrainingDataConfig
    network: NetworkChoice
    loss: Curriculum
    optimisation: OptimisationConfig
    machine: MachineConfig
    logging: LoggingConfig


@dataclass(frozen=True, kw_only=True)
class RGBConfig(TrainConfig):
    """Train the RGB depth network, the teacher."""

    kind = "rgb"
    modality = "image"
    experiment_name: str = "rgb_depth"
    """Name of the folders under checkpoints/, results/ and logs/."""


@dataclass(frozen=True, kw_only=True)
class BinauralConfig(TrainConfig):
    """Train a depth network on binaural echoes, without a teacher."""

    kind = "binaural"
    modality = "audio"
    experiment_name: str = "binaural_attention"
    """Name of the folders under checkpoints/, results/ and logs/."""
    training_data: AudioTrainingDataConfig


@dataclass(frozen=True, kw_only=True)
class DistillConfig(BinauralConfig):
    """Train a depth network on binaural echoes by distillation from a frozen RGB teacher."""

    kind = "distill"
    experiment_name: str = "distillation"
    """Name of the folders under checkpoints/, results/ and logs/."""
    distillation: DistillationConfig


KINDS: dict[str, type[TrainConfig]] = {config.kind: config for config in (RGBConfig, BinauralConfig, DistillConfig)}
"""The subcommands of ``echodepth train``."""


@dataclass(frozen=True)
class Choices:
    """What decides which flags a training command has; None takes the default.

    Attributes:
        model: name of the network.
        front_end: name of the front end.
        dataset: name of the dataset.
    """

    model: str | None = None
    front_end: str | None = None
    dataset: str | None = None

    @classmethod
    def of(cls, flags: Mapping[str, Any]) -> "Choices":
        """Those that are among some flags."""
        return cls(flags.get("model"), flags.get("front_end"), flags.get("dataset"))


@overload
def train_config(kind: Literal["distill"], **flags: Any) -> DistillConfig: ...
@overload
def train_config(kind: str, **flags: Any) -> TrainConfig: ...
def train_config(kind: str, **flags: Any) -> TrainConfig:
    """A training config from flags by name, as on the command line.

    Args:
        kind: rgb, binaural or distill.
        flags: any flag that this kind, network, front end and dataset have.

    Raises:
        ConfigError: a flag or a choice is unknown, or a required flag is missing.
    """
    return build(config_class(kind, Choices.of(flags)), flags)


@functools.cache
def config_class(kind: str, choices: Choices, for_command_line: bool = False) -> type[TrainConfig]:
    """The config of one kind of training, with all flags of the chosen network, front end and dataset.

    Args:
        kind: rgb, binaural or distill.
        choices: network, front end and dataset.
        for_command_line: list the registered names as choices.

    Raises:
        ConfigError: a choice is unknown, or does not take this kind's input.
    """
    if kind not in KINDS:
        raise ConfigError(f"train {kind}: there is no such training; {did_you_mean(kind, KINDS)}")
    base = KINDS[kind]
    groups: list[tuple[str, Any]] = [
        ("data", data_group(choices.dataset, for_command_line)),
        ("network", Annotated[_network_group(base.modality, choices, for_command_line), tyro.conf.arg(name="model")]),
        ("loss", compose("Losses", "Supervised loss against ground truth.", [Curriculum, *LOSSES])),
    ]
    if issubclass(base, DistillConfig):
        group = compose("Distillation", str(DistillationConfig.__doc__), [DistillationConfig, *DISTILLATION_LOSSES])
        groups.append(("distillation", group))
    composed = make_dataclass(base.__name__, groups, bases=(base,), frozen=True, kw_only=True)
    composed.__doc__ = base.__doc__
    return composed


def _network_group(modality: Modality, choices: Choices, for_command_line: bool) -> type:
    network = _chosen(NETWORKS, modality, choices.model)
    front_end = _chosen(FRONT_ENDS, modality, choices.front_end)
    fields = [
        ("model", _one_of(NETWORKS, modality, for_command_line), field(default=network.name)),
        ("front_end", _one_of(FRONT_ENDS, modality, for_command_line), field(default=front_end.name)),
    ]
    choice = make_dataclass("NetworkChoice", fields, bases=(NetworkChoice,), frozen=True, kw_only=True)
    return compose("Network", str(NetworkChoice.__doc__), [choice, network.config, front_end.config])


def _front_end_group(name: str | None, for_command_line: bool) -> type:
    front_end = _chosen(FRONT_ENDS, "audio", name)
    fields = [("front_end", _one_of(FRONT_ENDS, "audio", for_command_line), field(default=front_end.name))]
    choice = make_dataclass("FrontEndChoice", fields, bases=(FrontEndChoice,), frozen=True, kw_only=True)
    return compose("FrontEnd", str(FrontEndChoice.__doc__), [choice, front_end.config])


def _chosen(registry: Registry[Any], modality: Modality, name: str | None) -> Any:
    """The entry of that name, or the modality's default."""
    if name is None:
        return next(entry for entry in registry if entry.modality == modality and entry.is_default)
    entry = registry[name]
    if entry.modality != modality:
        raise ConfigError(f"--{registry.flag} {name} takes {entry.modality}, and the input here is {modality}")
    return entry


def _one_of(registry: Registry[Any], modality: Modality, for_command_line: bool) -> Any:
    """The type of a flag that names an entry: on the command line with the names as choices."""
    if not for_command_line:
        return str
    names = tuple(entry.name for entry in registry if entry.modality == modality)
    aliases = ("--student",) if registry is NETWORKS and modality == "audio" else ()
    return Annotated[Literal[names], tyro.conf.arg(help=f"Name of the {registry.kind}.", aliases=aliases)]


@dataclass(frozen=True, kw_only=True)
class FrontEndChoice:
    """Front end of the spectrograms, for --sound spectrogram."""

    front_end: str
    """Front end that computes the spectrograms."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Decode a dataset once, into memory-mapped arrays that training reads in place of the files."""

    splits: tuple[Split, ...] = ("train", "val")
    """Splits to prepare; training reads train and val."""
    sound: Literal["waveform", "spectrogram"] = "waveform"
    """Waveforms serve every front end; spectrograms, of the front end below, save computing them in training."""
    workers: int = 2
    """Worker processes."""
    data: DataConfig
    front_end: FrontEndChoice


@functools.cache
def prepare_class(choices: Choices, for_command_line: bool = False) -> type[PrepareConfig]:
    """The config of ``prepare``, with the flags of the chosen dataset and front end; arguments as ``config_class``."""
    groups = [
        ("data", data_group(choices.dataset, for_command_line)),
        ("front_end", _front_end_group(choices.front_end, for_command_line)),
    ]
    composed = make_dataclass("PrepareConfig", groups, bases=(PrepareConfig,), frozen=True, kw_only=True)
    composed.__doc__ = PrepareConfig.__doc__
    return composed


@dataclass(frozen=True, kw_only=True)
class CacheTeacherConfig:
    """Cache the teacher outputs of every training frame, so that students train without running the teacher."""

    teacher: str
    """Model folder, .pth file, experiment name, or Hugging Face depth model: hf:ORG/NAME or hf:FOLDER."""
    levels: tuple[Literal["x1", "x2", "x3", "x4", "x5", "d1", "d2", "d3", "d4"], ...] = ()
    """Feature levels to cache beside the depth; train distill's defaults compare d1 d2 d3 d4, which take much disk."""
    batch_size: int = 16
    """Frames per batch."""
    num_workers: int = 4
    """Data loading processes; 0 loads in the main process."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:1, mps."""
    data: DataConfig
