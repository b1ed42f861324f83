"""The flags of training, in groups. A field's docstring is its help text.

Which flags a run has depends on its kind, network, front end and dataset: ``compose`` adds those of the registries.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from echodepth.core.flags import TrueOrFalse
from echodepth.data.config import DataConfig
from echodepth.data.records import Modality, Split
from echodepth.losses.config import Curriculum

FLAGS_NOT_COMPARED = frozenset(
    {
        *("experiment_name", "seed", "teacher", "checkpoints", "save_frequency", "overwrite"),
        *("resume", "save_minutes", "on_nan", "spike_factor"),
        *("num_workers", "device", "use_prepared", "compile", "channels_last", "activation_checkpointing"),
        *("deterministic", "cudnn_benchmark", "tf32", "threads"),
        *("use_wandb", "wandb_project", "use_tensorboard", "field_of_view"),
    }
)
"""Names, folders, logging and ways to compute, which change weights by rounding at most; a run records seed,
teacher and field of view apart."""


@dataclass(frozen=True, kw_only=True)
class TrainingDataConfig:
    """Labels and augmentation of the training split."""

    label_fraction: float = 1.0
    """Share of the training frames whose ground truth is used, in whole rooms if possible; others serve KD only."""
    val_label_fraction: float = 1.0
    """Share of the validation frames that are scored, chosen likewise; the others are not read."""
    label_seed: int = 0
    """Seed that draws the labelled frames; a smaller share is a subset of a larger one."""
    flip: TrueOrFalse = True
    """Mirror half of the training frames left to right, ears included."""
    color_jitter: float = 0.2
    """Strength of random brightness, contrast and saturation of the images, 0 to 1; 0 is off."""
    field_of_view: tuple[float, float] | None = None
    """Horizontal and vertical angle of the camera in degrees, saved for point clouds; default: the dataset's."""


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
    patience: float | None = None
    """Stop once this share of the epochs, such as 0.2, has not lowered the validation RMSE; with --scheduler none."""
    min_epochs: int = 1
    """Epochs before --patience may stop the run."""
    val_frequency: int = 1
    """Epochs between two validations; --nb_epochs must be a multiple of it."""
    optimizer: Literal["Adam", "AdamW", "SGD"] = "AdamW"
    """Optimiser; SGD has momentum 0.9."""
    weight_decay: float = 0.01
    """Weight decay: decoupled with AdamW, an L2 penalty with Adam and SGD."""
    scheduler: Literal["none", "cosine", "step"] = "cosine"
    """Learning rate schedule. cosine: to zero over the run; step: divided by ten after each third."""
    gradient_clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    on_nan: Literal["stop", "skip"] = "stop"
    """What a step does whose inputs, loss or gradient are NaN, infinite or a spike: stop the run, or be left out."""
    spike_factor: float = 1000.0
    """How many times the usual loss or gradient norm counts as a spike; 0 accepts any."""
    accumulate: int = 1
    """Batches whose gradients are accumulated for one optimiser step."""
    ema_decay: float | None = None
    """Decay of the exponential moving average of the weights, such as 0.999; the average is validated and saved."""


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """Knowledge distillation from a frozen teacher."""

    teacher: str
    """Model folder, .pth file, experiment name, or Hugging Face depth model: hf:ORG/NAME or hf:FOLDER."""
    teacher_depth: Literal["auto", "metric", "inverse"] = "auto"
    """What a Hugging Face teacher predicts: metres up to scale, or inverse depth. auto: what its config says."""
    teacher_align: Literal["auto", "none", "scale", "affine"] = "auto"
    """Fit of teacher depth to ground truth in metres: none, scale, or scale and shift of inverse depth."""
    teacher_cache: TrueOrFalse = True
    """Use teacher outputs cached by `echodepth cache-teacher` where they match these frames and losses."""
    pseudo_labels: TrueOrFalse = True
    """Use teacher depth as pseudo-labels where ground truth is missing."""
    kd_schedule: Literal["constant", "warmup", "decay"] = "constant"
    """Schedule of all distillation weights: constant, rising over the first fifth, or falling to zero."""
    shuffle_teacher: bool = False
    """Control: the teacher is given another frame of the batch; a batch of one frame has no teacher."""


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
    threads: int | None = None
    """CPU threads of a process. Default: 1 for a small network, else torch's; a resumed run keeps its number."""
    num_nodes: int = 1
    """Number of machines."""
    strategy: str = "auto"
    """Lightning strategy, such as ddp for several devices."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true"
    """Lightning precision; mixed precisions keep weights, losses and front end in 32 bits."""
    deterministic: bool = False
    """Use deterministic algorithms on CUDA, too, where they are slower; CPUs always do, at no cost."""
    cudnn_benchmark: TrueOrFalse = True
    """On CUDA, let cuDNN time its algorithms for each shape first, in up to a minute; off with --deterministic."""
    tf32: TrueOrFalse = True
    """On CUDA, round the factors of float32 products to TF32's 10 bits; the front end keeps all bits."""
    channels_last: bool | None = None
    """Use the channels-last memory format. Default: on CUDA, where a training step takes about half the time."""
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
    init: str | None = None
    """Start from the weights of this model (folder, .pth, experiment, echodepth-light, ORG/NAME), with its network."""
    checkpoints: int | None = None
    """Resume from the end of this epoch."""
    resume: Literal["auto"] | None = None
    """auto: resume from the newest checkpoint that is whole, or begin if there is none."""
    save_minutes: float = 10.0
    """Minutes between two checkpoints within an epoch, the most that a kill costs; 0 saves whole epochs only."""
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
    """Train a depth network on binaural echoes, with a frozen RGB network as teacher."""

    kind = "distill"
    experiment_name: str = "distillation"
    """Name of the folders under checkpoints/, results/ and logs/."""
    distillation: DistillationConfig


@dataclass(frozen=True, kw_only=True)
class FrontEndChoice:
    """Front end of the spectrograms, for --sound spectrogram."""

    front_end: str
    """Front end that computes the spectrograms."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Decode a dataset once into memory-mapped arrays, from which training reads."""

    splits: tuple[Split, ...] = ("train", "val")
    """Splits to prepare; training reads train and val."""
    sound: Literal["waveform", "spectrogram"] = "waveform"
    """Waveforms serve every front end; spectrograms, of the front end below, save computing them in training."""
    workers: int = 2
    """Worker processes."""
    data: DataConfig
    front_end: FrontEndChoice


@dataclass(frozen=True, kw_only=True)
class CacheTeacherConfig:
    """Cache a teacher's outputs, so that students train without running the teacher."""

    teacher: str
    """Model folder, .pth file, experiment name, or Hugging Face depth model: hf:ORG/NAME or hf:FOLDER."""
    levels: tuple[Literal["x1", "x2", "x3", "x4", "x5", "d1", "d2", "d3", "d4"], ...] = ()
    """Feature levels to cache beside the depth; train distill's defaults compare d1 d2 d3 d4, which take much disk."""
    use_prepared: TrueOrFalse = True
    """Read the images of `echodepth prepare` where they match the dataset; they are bit-equal to the files."""
    batch_size: int = 16
    """Frames per batch."""
    num_workers: int = 4
    """Data loading processes; 0 loads in the main process."""
    device: str = "auto"
    """Device: auto, cpu, cuda, cuda:1, mps."""
    data: DataConfig
