"""The command ``echodepth``. Flags come from the config dataclasses; torch is imported by the command that runs."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from echodepth.apps.convert.config import ConvertConfig
from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.live.config import ListenConfig, RecordConfig
from echodepth.core.errors import EchodepthError, plain_message
from echodepth.data.streaming.config import ShardConfig
from echodepth.evaluation.config import CompareConfig, EvaluateConfig
from echodepth.experiments.config import BenchmarkConfig
from echodepth.inference.config import DemoConfig, ExportConfig, PredictConfig
from echodepth.simulate.config import SimulateConfig
from echodepth.training.config import (
    BinauralConfig,
    CacheTeacherConfig,
    DistillationConfig,
    PrepareConfig,
    RGBConfig,
)

TrainingConfig = (
    Annotated[RGBConfig, subcommand("rgb")]
    | Annotated[BinauralConfig, subcommand("binaural")]
    | Annotated[DistillationConfig, subcommand("distill")]
)


@dataclass(frozen=True)
class Train:
    """Train the RGB teacher, the binaural student, or the student with the teacher."""

    run: TrainingConfig


Command = (
    Annotated[SimulateConfig, subcommand("simulate")]
    | Annotated[RecordConfig, subcommand("record")]
    | Annotated[ConvertConfig, subcommand("convert")]
    | Annotated[DoctorConfig, subcommand("doctor")]
    | Annotated[ShardConfig, subcommand("shard")]
    | Annotated[PrepareConfig, subcommand("prepare")]
    | Annotated[CacheTeacherConfig, subcommand("cache-teacher")]
    | Annotated[Train, subcommand("train")]
    | Annotated[EvaluateConfig, subcommand("evaluate")]
    | Annotated[CompareConfig, subcommand("compare")]
    | Annotated[PredictConfig, subcommand("predict")]
    | Annotated[ListenConfig, subcommand("listen")]
    | Annotated[ExportConfig, subcommand("export")]
    | Annotated[DemoConfig, subcommand("demo")]
    | Annotated[BenchmarkConfig, subcommand("benchmark")]
)
FAULTS_FOUND = 1
USER_ERROR = 2
INTERRUPTED = 130
"""Exit status of a process that Ctrl-C ended: 128 + 2."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. A user's mistake, or a disk's, ends with its message and exit status 2, not with a traceback."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("echodepth").setLevel(logging.INFO)
    command = tyro.cli(
        Command,
        prog="echodepth",
        description="See depth by ear, taught by sight.",
        args=arguments,
        use_underscores=True,
        config=(OmitArgPrefixes, OmitSubcommandPrefixes),
    )
    try:
        run(command)
    except EchodepthError as error:
        print(f"echodepth: {plain_message(error)}", file=sys.stderr)
        raise SystemExit(USER_ERROR) from None
    except OSError as error:
        # A folder that may not be written to, a full disk, a file in a folder's place: the message names the path.
        print(f"echodepth: {error}", file=sys.stderr)
        raise SystemExit(USER_ERROR) from None
    except KeyboardInterrupt:
        print("echodepth: stopped", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def run(command: object) -> None:
    """Hand a parsed command to the part of the package that carries it out."""
    match command:
        case Train(run=config):
            _train(config)
        case SimulateConfig():
            from echodepth.simulate.writer import simulate

            simulate(command)
        case RecordConfig():
            from echodepth.apps.live.record import record

            record(command)
        case ConvertConfig():
            from echodepth.apps.convert.convert import convert

            convert(command)
        case ShardConfig():
            from echodepth.data.streaming.writer import shard

            shard(command)
        case DoctorConfig():
            from echodepth.apps.doctor.examine import doctor

            if doctor(command).faults:
                raise SystemExit(FAULTS_FOUND)
        case PrepareConfig():
            from echodepth.training.prepare import prepare

            prepare(command)
        case CacheTeacherConfig():
            from echodepth.training.teacher_setup import cache_teacher

            cache_teacher(command)
        case EvaluateConfig():
            from echodepth.evaluation.evaluate import evaluate

            evaluate(command)
        case CompareConfig():
            from echodepth.evaluation.compare import compare

            compare(command)
        case BenchmarkConfig():
            from echodepth.experiments.study import benchmark

            benchmark(command)
        case PredictConfig():
            from echodepth.inference.predict import predict

            predict(command)
        case ListenConfig():
            from echodepth.apps.live.listen import listen

            listen(command)
        case ExportConfig():
            from echodepth.inference.export import export

            export(command)
        case DemoConfig():
            from echodepth.apps.demo.app import demo

            demo(command)


def _train(config: RGBConfig | BinauralConfig) -> None:
    from echodepth.training import train

    # Lightning's notices on hardware and loggers; its warnings still come through. Its import sets the level anew.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    match config:
        case RGBConfig():
            train.train_rgb(config)
        case DistillationConfig():
            train.train_distillation(config)
        case BinauralConfig():
            train.train_binaural(config)
