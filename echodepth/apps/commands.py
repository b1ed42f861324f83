"""The commands of ``echodepth``: one entry each, of names alone, so that listing them imports nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One subcommand; addresses read ``module:attribute`` and are imported when the command is chosen.

    Attributes:
        name: on the command line, of one or two words.
        help: one line for the list of commands.
        run: the function that carries it out.
        flags: its config dataclass, or a function from the rest of the command line to ``CommandFlags``.
    """

    name: str
    help: str
    run: str
    flags: str


TRAIN_HELP = "Train a network: rgb (teacher), binaural, distill (student with teacher)."
COMMANDS = (
    Command(
        "simulate",
        "Simulate rooms, images, depth and binaural echoes in BatVision V2's format.",
        "echodepth.simulate.writer:simulate",
        "echodepth.simulate.config:SimulateConfig",
    ),
    Command(
        "calibrate",
        "Measure a robot's rig from a few recordings, for simulate --rig.",
        "echodepth.apps.calibrate.calibrate:calibrate",
        "echodepth.apps.calibrate.config:CalibrateConfig",
    ),
    Command(
        "record",
        "Play chirps and record binaural echoes.",
        "echodepth.apps.live.record:record",
        "echodepth.apps.live.config:RecordConfig",
    ),
    Command(
        "convert",
        "Convert your own recordings into BatVision V2's format.",
        "echodepth.apps.convert.convert:convert",
        "echodepth.apps.convert.config:ConvertConfig",
    ),
    Command(
        "doctor",
        "Check a dataset for missing, broken, swapped or misaligned data.",
        "echodepth.apps.doctor.examine:run",
        "echodepth.apps.doctor.config:DoctorConfig",
    ),
    Command(
        "shard",
        "Pack a dataset into tar shards.",
        "echodepth.data.streaming.writer:shard",
        "echodepth.data.streaming.config:ShardConfig",
    ),
    Command(
        "prepare",
        "Decode a dataset once into memory-mapped arrays.",
        "echodepth.training.prepare:prepare",
        "echodepth.training.command_flags:prepare_flags",
    ),
    Command(
        "cache-teacher",
        "Cache a teacher's outputs on the training frames.",
        "echodepth.training.teacher_setup:cache_teacher",
        "echodepth.training.config:CacheTeacherConfig",
    ),
    Command(
        "train rgb",
        "Train the RGB depth network, the teacher.",
        "echodepth.training.train:train",
        "echodepth.training.command_flags:rgb_flags",
    ),
    Command(
        "train binaural",
        "Train a depth network on binaural echoes, without a teacher.",
        "echodepth.training.train:train",
        "echodepth.training.command_flags:binaural_flags",
    ),
    Command(
        "train distill",
        "Train a depth network on binaural echoes by distillation from an RGB teacher.",
        "echodepth.training.train:train",
        "echodepth.training.command_flags:distill_flags",
    ),
    Command(
        "evaluate",
        "Score a trained model, or a control, under a named protocol.",
        "echodepth.evaluation.evaluate:evaluate",
        "echodepth.evaluation.config:EvaluateConfig",
    ),
    Command(
        "compare",
        "Score several models and controls, and write one report.",
        "echodepth.evaluation.compare:compare",
        "echodepth.evaluation.config:CompareConfig",
    ),
    Command(
        "predict",
        "Predict depth maps of files, folders, videos or a dataset split.",
        "echodepth.inference.predict:predict",
        "echodepth.inference.config:PredictConfig",
    ),
    Command(
        "listen",
        "Show live depth from a loudspeaker and two microphones.",
        "echodepth.apps.live.listen:listen",
        "echodepth.apps.live.config:ListenConfig",
    ),
    Command(
        "export",
        "Export a model to ONNX, OpenVINO or torch.export.",
        "echodepth.inference.export:export",
        "echodepth.inference.config:ExportConfig",
    ),
    Command(
        "demo",
        "Open a demo page in the browser.",
        "echodepth.apps.demo.app:demo",
        "echodepth.apps.demo.config:DemoConfig",
    ),
    Command(
        "experiment",
        "Run a declared study: many trainings, one table.",
        "echodepth.experiments.study:experiment",
        "echodepth.experiments.config:ExperimentConfig",
    ),
)
