"""The flags of the three training commands. Imports nothing heavy: it feeds --help.

A field's docstring is its help text.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from echodepth.data.config import DataConfig
from echodepth.data.records import Split

Level = Literal["x1", "x2", "x3", "x4", "x5", "d1", "d2", "d3", "d4"]
EncoderLevel = Literal["x1", "x2", "x3", "x4", "x5"]
TrueOrFalse = Annotated[bool, tyro.conf.FlagConversionOff]
"""A flag that takes its value: --bilinear False."""

FLAGS_NOT_COMPARED = frozenset(
    {
        "experiment_name",
        "seed",
        "teacher",
        "checkpoints",
        "save_frequency",
        "overwrite",
        "num_workers",
        "device",
        "use_prepared",
        "compile",
        "channels_last",
        "activation_checkpointing",
    }
    | {"use_wandb", "wandb_project", "use_tensorboard"}
)
"""Names, places, logging and ways to compute, which change no weight but by rounding; seed and teacher, which a run
records on their own."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataConfig):
    """What every training run is told."""

    experiment_name: str
    """Names the folders under checkpoints/, results/ and logs/."""

    # Model
    base_channels: int = 64
    """Channels of the first level; 32 has a quarter of the parameters of 64."""
    bilinear: TrueOrFalse = True
    """Upsample bilinearly; otherwise by transposed convolutions, with more parameters."""

    # Loss
    criterion: Literal["L1", "SILog", "Combined"] = "L1"
    """The reconstruction term: metres, proportions, or both."""
    lambda_l1: float = 1.0
    """Weight of the reconstruction term."""
    lambda_smooth: float = 0.1
    """Weight of the edge-aware smoothness."""
    lambda_edge: float = 0.0
    """Weight of the gradient loss, which asks for the same edges."""
    use_adaptive_loss: bool = False
    """A curriculum: reconstruction first, then edges, then smoothness."""

    # Uncertainty
    uncertainty: bool = False
    """Also learn how far off the depth is to be expected, pixel by pixel; the depth is learnt as without."""
    lambda_uncertainty: float = 0.1
    """Weight of that lesson, with --uncertainty."""

    # Training
    batch_size: int = 64
    """Frames a step and device."""
    learning_rate: float = 1e-4
    """At the start; the scheduler lowers it."""
    nb_epochs: int = 200
    """Epochs in all, those before a resume included."""
    optimizer: Literal["Adam", "AdamW", "SGD"] = "AdamW"
    """SGD has momentum 0.9."""
    weight_decay: float = 0.01
    """Decoupled with AdamW, an L2 penalty with Adam and SGD."""
    scheduler: Literal["none", "cosine", "step"] = "cosine"
    """cosine: down to zero over the run; step: a tenth after each third of it."""
    gradient_clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    accumulate: int = 1
    """Batches whose gradients make one step."""
    ema_decay: float | None = None
    """Average the weights with this decay (for instance 0.999); validation and the saved model use the average."""
    seed: int = 0
    """Decides everything random: the same command twice gives the same numbers."""

    # Labels
    label_fraction: float = 1.0
    """Share of the training rooms (BatVision: locations) whose measured depth is used. The other frames are left out;
    with a teacher they stay, and it alone teaches on them."""
    label_seed: int = 0
    """Decides which rooms; a smaller share is part of a larger one."""

    # Augmentation
    flip: TrueOrFalse = True
    """Mirror every other frame; the ears swap with it."""
    color_jitter: float = 0.2
    """Strength of random brightness, contrast and saturation of the images; 0 is off."""

    # Checkpoints
    checkpoints: int | None = None
    """Resume from the end of this epoch."""
    save_frequency: int = 2
    """Write a checkpoint and a picture of results every so many epochs."""
    overwrite: bool = False
    """Start over where the experiment already has checkpoints, and delete them."""

    # Machine
    use_prepared: TrueOrFalse = True
    """Read what `echodepth prepare` has kept of the dataset, where it is there and fits."""
    num_workers: int | None = None
    """Processes that read data; 0 reads in the training process. Default: 0 for a prepared dataset, otherwise one for
    each processor, up to 4."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    devices: int = 1
    """How many of them on this machine."""
    num_nodes: int = 1
    """How many machines."""
    strategy: str = "auto"
    """Lightning's strategy: ddp for several devices."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"] = "32-true"
    """Lightning's precision: mixed ones convolve in 16 bits and keep weights, losses and front end in 32."""
    channels_last: bool = False
    """Keep maps with their channels side by side: for GPUs with tensor cores, together with a mixed precision."""
    compile: bool = False
    """Let torch.compile fuse the network's training step; the first steps take minutes."""
    activation_checkpointing: bool = False
    """Keep only each level's result for the gradient and compute the rest again: less memory, a third more time."""
    sync_batchnorm: bool | None = None
    """Normalise by the batch of all devices. Default: on several CUDA devices, the only ones for which torch has it."""

    # Logging
    use_wandb: bool = False
    """Log to Weights & Biases; WANDB_MODE=offline needs no account."""
    wandb_project: str = "echodepth"
    """W&B's project."""
    use_tensorboard: bool = False
    """Log to TensorBoard under logs/<experiment>."""


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(DataConfig):
    """Decode a dataset once, into memory-mapped arrays that training then reads in place of the files."""

    splits: tuple[Split, ...] = ("train", "val")
    """Which splits: training reads these two."""
    sound: Literal["waveform", "spectrogram"] = "waveform"
    """How sound is kept: waveforms serve every front end; spectrograms, of the front end below, spare it."""
    spectrogram: Literal["log", "magnitude"] = "log"
    """As in training; counts for --sound spectrogram."""
    cues: bool = False
    """As in training; counts for --sound spectrogram."""
    workers: int = 2
    """Processes."""


@dataclass(frozen=True, kw_only=True)
class RGBConfig(TrainConfig):
    """Train the RGB depth network, the teacher."""

    experiment_name: str = "rgb_depth"
    """Names the folders under checkpoints/, results/ and logs/."""


@dataclass(frozen=True, kw_only=True)
class BinauralConfig(TrainConfig):
    """Train a depth network on echoes alone."""

    experiment_name: str = "binaural_attention"
    """Names the folders under checkpoints/, results/ and logs/."""
    model: Annotated[Literal["binaural_attention", "light", "unet_baseline"], tyro.conf.arg(aliases=("--student",))] = (
        "binaural_attention"
    )
    """Ours; its light form for a robot's processor; or BatVision's U-Net to compare with (published with --spectrogram
    magnitude)."""
    attention_levels: tuple[int, ...] = (2, 3, 4, 5)
    """Levels out of 1 to 5 at which the ears of binaural_attention look across."""
    convolution: Literal["full", "separated"] = "full"
    """Of binaural_attention's encoders: over frequency and time at once (3x3), or along one after the other (3x1,
    1x3)."""
    attention: Literal["band", "full", "time", "pooled"] = "band"
    """What a place of one ear's map looks at in the other's: every frequency within two columns of its time; all of it;
    every time at its own frequency; or means over neighbours, 32x32 of them."""
    spectrogram: Literal["log", "magnitude"] = "log"
    """Decibels on one fixed scale, or the plain magnitude of BatVision's code."""
    cues: bool = False
    """Give each ear what differs from the other (level, phase, coherence), and a second resolution."""
    spec_masks: int = 0
    """Bands of time and of frequency hidden in each training spectrogram; 0 is off."""


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(BinauralConfig):
    """Train a depth network on echoes, taught by a frozen RGB network."""

    experiment_name: str = "distillation"
    """Names the folders under checkpoints/, results/ and logs/."""
    teacher: str
    """A model folder (checkpoints/<experiment>/best), a .pth with model_state_dict, or an experiment's name; or a depth
    model of Hugging Face, hf:ORG/NAME or hf:FOLDER."""
    teacher_align: Literal["auto", "none", "scale", "affine"] = "auto"
    """What makes the teacher's depth metres, fitted once where depth was measured: nothing, a factor, or a factor and
    an offset of its inverse. auto: none for ours, scale for metric models of Hugging Face, affine for relative ones."""
    teacher_cache: TrueOrFalse = True
    """Use what echodepth cache-teacher has kept of this teacher, if it fits these frames and terms."""
    pseudo_labels: TrueOrFalse = True
    """Let the teacher's depth stand wherever none was measured, in one loss with what was; for few labels."""
    lambda_kd: float = 1.0
    """Weight of the distance to the teacher's depth."""
    kd_loss: Literal["l1", "mse", "silog"] = "l1"
    """That distance."""
    kd_where: Literal["everywhere", "unmeasured"] = "everywhere"
    """Taken over every pixel, or only where no depth was measured."""
    kd_confidence: bool = False
    """Each pixel counts by how sure the teacher is of it; needs a teacher trained with --uncertainty."""
    lambda_kd_edge: float = 0.0
    """Weight of the distance to the differences between neighbours in the teacher's depth."""
    lambda_rank: float = 0.0
    """Weight of the order of near and far in the teacher's depth."""
    lambda_feat: float = 1.0
    """Weight of the distance to the teacher's features, position by position."""
    feature_levels: tuple[Level, ...] = ("d1", "d2", "d3", "d4")
    """Which features are matched; x1 to x4 are frequency by time here and rows by columns there."""
    feature_distance: Literal["direction", "squared", "margin"] = "direction"
    """Of unit vectors; the plain squared error; or only what exceeds a margin."""
    lambda_align: float = 0.0
    """Weight of the distance to the teacher's encoder features, after a learned alignment."""
    align_levels: tuple[EncoderLevel, ...] = ("x3", "x4", "x5")
    """Which levels are aligned."""
    lambda_attention: float = 0.0
    """Weight of the distance to where the teacher's decoder features are strong."""
    lambda_affinity: float = 0.0
    """Weight of the distance to which frames of a batch the teacher finds alike."""
    lambda_contrast: float = 0.0
    """Weight of finding each frame's own sight among the batch."""
    kd_schedule: Literal["constant", "warmup", "decay"] = "constant"
    """How all of these weights go over the run: as they are, rising over its first fifth, or falling to zero."""
    shuffle_teacher: bool = False
    """A control: the teacher looks at another frame of the batch. What still helps is no knowledge of the frame."""


@dataclass(frozen=True, kw_only=True)
class CacheTeacherConfig(DataConfig):
    """Look with a teacher at every training frame once, and keep what it says: students then train without asking."""

    teacher: str
    """As of train distill: an experiment, a model folder, a .pth, hf:ORG/NAME or hf:FOLDER."""
    levels: tuple[Level, ...] = ()
    """Features to keep beside the depth; train distill's defaults need x5 d4 d3 d2 d1, and much disk."""
    batch_size: int = 16
    """Frames looked at together."""
    num_workers: int = 4
    """Processes that read data; 0 reads in the main process."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""


TERM_WEIGHTS = {
    "kd": "lambda_kd",
    "kd_edge": "lambda_kd_edge",
    "rank": "lambda_rank",
    "feat": "lambda_feat",
    "align": "lambda_align",
    "attention": "lambda_attention",
    "affinity": "lambda_affinity",
    "contrast": "lambda_contrast",
}
"""Each term's flag."""
