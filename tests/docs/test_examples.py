"""The sixteen numbered examples and the example scripts.

bash prints the command lines of an example, which then run in this process; one example of each script really starts
Python from bash.
"""

import csv
import json
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echodepth import cli
from examples.demo import SIZES, Size, conclusion, demonstrate
from tests.conftest import ROOT
from tests.example_scripts import command_lines, run_bash
from tests.tiny import save_tiny, save_tiny_rgb

RGB, BINAURAL = "run_rgb_depth_examples.sh", "run_binaural_attention_examples.sh"
EXPERIMENTS = {
    RGB: [
        "rgb_depth_basic",
        "rgb_depth_wandb",
        "rgb_depth_light",
        "rgb_depth_large",
        "rgb_depth_basic",
        "rgb_teacher_for_kd",
        "rgb_depth_custom_loss",
        "rgb_depth_quick",
    ],
    BINAURAL: [
        "binaural_attn_basic",
        "binaural_attn_wandb",
        "binaural_attn_light",
        "unet_baseline",
        "binaural_attn_basic",
        "binaural_attn_curriculum",
        "binaural_attn_distilled",
        "binaural_attn_quick",
    ],
}
EXAMPLES = [(script, number, name) for script, names in EXPERIMENTS.items() for number, name in enumerate(names, 1)]
KINDS = {"train_rgb_depth.py": "rgb", "train_binaural_attention.py": "binaural", "train_distillation.py": "distill"}
"""The training command of each script."""
SMALL = shlex.split("--image_size 32 --base_channels 4 --batch_size 4 --num_workers 0 --device cpu")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def train(line: list[str]) -> None:
    """Run a training command line that an example printed."""
    script, *flags = line
    cli.main(["train", KINDS[Path(script).name], *flags])


def trained_models() -> list[str]:
    return sorted(path.parts[-3] for path in Path().glob("checkpoints/*/best/config.json"))


@pytest.mark.slow
@pytest.mark.parametrize(("script", "number", "experiment"), EXAMPLES, ids=[f"{e[0][4:7]}-{e[1]}" for e in EXAMPLES])
def test_an_example_trains_its_experiment(script: str, number: int, experiment: str, v2_root: Path) -> None:
    wandb = pytest.importorskip("wandb") if number == 2 else None
    for line in command_lines(script, number, "--nb_epochs", 1, *SMALL, "--data_dir", v2_root):
        train(line)
    if wandb is not None:
        wandb.finish()
    with_teacher = (script, number) == (BINAURAL, 7)
    assert trained_models() == [experiment, *(["rgb_teacher_for_kd"] if with_teacher else [])]
    assert len(list(Path("logs").glob("*/wandb/offline-run-*"))) == (number == 2)
    assert {path.name for path in Path().iterdir()} == {"checkpoints", "results", "logs"}


@pytest.mark.slow
@pytest.mark.parametrize("script", [RGB, BINAURAL])
def test_bash_starts_the_training_of_an_example(script: str, v2_root: Path) -> None:
    shown = run_bash(script, 8, "--nb_epochs", 1, *SMALL, "--data_dir", v2_root)
    assert shown.returncode == 0, shown.stderr
    assert "Traceback" not in shown.stderr
    assert trained_models() == [EXPERIMENTS[script][7]]
    assert {path.name for path in Path().iterdir()} == {"checkpoints", "results", "logs"}


@pytest.mark.slow
@pytest.mark.parametrize("script", [RGB, BINAURAL])
def test_example_five_starts_and_then_resumes(script: str, v2_root: Path) -> None:
    experiment = EXPERIMENTS[script][4]
    for epochs in (1, 2):
        (line,) = command_lines(script, 5, "--nb_epochs", epochs, *SMALL, "--data_dir", v2_root)
        assert line[line.index("--resume") + 1] == "auto"
        train(line)
        assert Path(f"checkpoints/{experiment}/epoch_{epochs:04d}.pth").is_file()
    assert Path(f"checkpoints/{experiment}/epoch_0001.pth").is_file()
    with Path(f"logs/{experiment}/metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def test_example_five_resumes_from_the_newest_checkpoint_unless_a_flag_names_another() -> None:
    (flags,) = command_lines(RGB, 5)
    assert flags[flags.index("--resume") + 1] == "auto"
    (flags,) = command_lines(RGB, 5, "--checkpoints", 8)
    assert (flags[-2:], "--resume" in flags) == (["--checkpoints", "8"], False)
    (flags,) = command_lines(RGB, 5, "--overwrite")
    assert "--resume" not in flags


def test_example_seven_trains_a_teacher_only_if_none_exists(v2_root: Path) -> None:
    """A flag with the name of the student does not rename the teacher."""
    teacher, student = command_lines(BINAURAL, 7, "--seed", 3, "--experiment_name", "mine")
    assert [Path(command[0]).name for command in (teacher, student)] == ["train_rgb_depth.py", "train_distillation.py"]
    assert teacher[-4:] == ["--experiment_name", "mine", "--experiment_name", "rgb_teacher_for_kd"]
    assert student[-4:] == ["--seed", "3", "--experiment_name", "mine"]
    save_tiny_rgb(Path("checkpoints/rgb_teacher_for_kd"), v2_root)
    assert command_lines(BINAURAL, 7, "--seed", 3, "--experiment_name", "mine") == [student]
    assert student[student.index("--teacher") + 1] == "checkpoints/rgb_teacher_for_kd/best"


@pytest.mark.parametrize(("script", "number", "experiment"), EXAMPLES, ids=[f"{e[0][4:7]}-{e[1]}" for e in EXAMPLES])
def test_flags_after_the_number_win(script: str, number: int, experiment: str) -> None:
    (*_, command) = command_lines(script, number, "--data_dir", "elsewhere", "--nb_epochs", "1")
    assert experiment in command
    assert " ".join(command).endswith("--data_dir elsewhere --nb_epochs 1")


@pytest.mark.parametrize("script", [RGB, BINAURAL])
@pytest.mark.parametrize("answer", ["3\n", "3"])
def test_the_menu_lists_eight_titles_and_reads_a_number(script: str, answer: str) -> None:
    shown = run_bash(script, python="echo", answer=answer)
    assert shown.returncode == 0, shown.stderr
    *menu, chosen, command = shown.stdout.splitlines()
    numbers, titles = zip(*(line.split(maxsplit=1) for line in menu), strict=True)
    assert numbers == tuple("12345678")
    assert len({*titles}) == 8
    assert chosen == f"Example 3: {titles[2]}"
    assert command.endswith(f"--experiment_name {EXPERIMENTS[script][2]}")


@pytest.mark.parametrize("script", [RGB, BINAURAL])
@pytest.mark.parametrize("number", ["0", "9", "x", "08", "-1", "99999999999999999999"])
def test_a_wrong_number_is_refused(script: str, number: str) -> None:
    for shown in (run_bash(script, number, python="echo"), run_bash(script, python="echo", answer=f"{number}\n")):
        assert shown.returncode == 2
        assert shown.stderr == f"{ROOT / script}: there is no example {number}: choose from 1 to 8\n"


def test_no_answer_is_a_wrong_number() -> None:
    shown = run_bash(RGB, python="echo")
    assert shown.returncode == 2
    assert "choose from 1 to 8" in shown.stderr


def test_a_recording_is_plotted_beside_simulated_ones(
    v2_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = next(v2_root.glob("Attic/audio/*.wav"))
    monkeypatch.setattr(sys, "argv", ["real_and_simulated.py", str(recording), str(v2_root)])
    runpy.run_path(str(ROOT / "examples" / "real_and_simulated.py"), run_name="__main__")
    assert Path("results/real_and_simulated.png").is_file()
    assert capsys.readouterr().out.count("quartiles") == 3


@pytest.mark.slow
@pytest.mark.parametrize("experiments", [("student",), ("student", "distilled", "teacher")], ids=len)
def test_prediction_examples_are_frames_at_even_steps_of_the_error(
    experiments: tuple[str, ...], v2_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny(Path("checkpoints/student"), v2_root)
    save_tiny(Path("checkpoints/distilled"), v2_root, "distill")
    save_tiny_rgb(Path("checkpoints/teacher"), v2_root)
    main = runpy.run_path(str(ROOT / "examples" / "prediction_examples.py"))["main"]
    main(experiments, experiments, Path("picture.png"), count=2)
    assert capsys.readouterr().out == "picture.png\n"
    with Image.open("picture.png") as picture:
        assert picture.height > 200


def test_statistics_of_a_recording_equal_those_of_an_exponential_decay() -> None:
    rate, seconds = 44100, 0.5  # for 60 dB
    time = np.arange(20000) / rate
    sound = np.random.default_rng(0).standard_normal((2, time.size)) * 10 ** (-3 * time / seconds)
    level, until, sixty = runpy.run_path(str(ROOT / "examples" / "real_and_simulated.py"))["statistics"](
        sound, rate
    ).values()
    # The mean of 10^(-12 t) from 5 to 20 ms, against that from 0 to 3 ms.
    energy = [(10 ** (-12 * a) - 10 ** (-12 * b)) / (b - a) for a, b in ((0, 0.003), (0.005, 0.02))]
    assert level == pytest.approx(10 * np.log10(energy[1] / energy[0]), abs=1)
    assert until == pytest.approx(0.25, abs=0.02)
    assert sixty == pytest.approx(seconds, rel=0.15)


@pytest.mark.parametrize("script", [RGB, BINAURAL, "examples/menu.sh"])
def test_bash_parses_every_script(script: str) -> None:
    parsed = subprocess.run(["bash", "-n", str(ROOT / script)], capture_output=True, text=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_demo_gives_each_command_flags_that_it_has(size: Size, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[object] = []
    monkeypatch.setattr("examples.demo.echodepth", lambda words: commands.append(cli.parse(words)[1]))
    monkeypatch.setattr("examples.demo.conclusion", lambda report, student, distilled: f"{student} {distilled}")
    demonstrate(size)
    assert len(commands) == 5


def test_the_demo_ends_with_the_verdict_on_its_two_students(tmp_path: Path) -> None:
    """Not that on the packaged model, whose rooms were more, nor that on a control of the same name."""
    names = {"rgb": "RGB", "ears": "audio", "taught": "audio + distillation", "light": "light audio"}
    rows = [{"run": run, "label": label, "control": "none"} for run, label in names.items()]
    rows += [{"run": "ears", "label": "shuffled-audio control", "control": "shuffled_audio"}]
    shown = [f"{row['label']} · {row['run']}" for row in rows]
    differences = [
        {"model": first, "other": second, "verdicts": {"rmse": f"verdict {index}"}}
        for index, (first, second) in enumerate((shown[a], shown[b]) for a, b in ((3, 1), (3, 2), (2, 1), (1, 4)))
    ]
    (tmp_path / "comparison.json").write_text(json.dumps({"rows": rows, "differences": differences}))
    said = conclusion(tmp_path / "comparison.html", "ears", "taught")
    assert said == "audio + distillation · taught against audio · ears: verdict 2"
