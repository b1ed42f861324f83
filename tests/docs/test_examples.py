"""The sixteen numbered examples: each starts and finishes, resumes or fetches its teacher, and the menu listens."""

import csv
import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from echodepth import cli
from tests.conftest import ROOT
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
SMALL = shlex.split("--image_size 32 --base_channels 4 --batch_size 4 --num_workers 0 --device cpu")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def run(script: str, *words: object, python: str = sys.executable, answer: str = "") -> CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / script), *map(str, words)],
        capture_output=True,
        text=True,
        input=answer,
        env={**os.environ, "PYTHON": python},
        check=False,
    )


def commands(script: str, *words: object) -> list[list[str]]:
    """What an example would run, without the wait: with ``echo`` in Python's place, it prints the command lines."""
    shown = run(script, *words, python="echo")
    assert shown.returncode == 0, shown.stderr
    return [shlex.split(line) for line in shown.stdout.splitlines() if line.startswith(str(ROOT))]


@pytest.mark.parametrize(("script", "number", "experiment"), EXAMPLES, ids=[f"{e[0][4:7]}-{e[1]}" for e in EXAMPLES])
def test_an_example_starts_and_finishes(script: str, number: int, experiment: str, v2_root: Path) -> None:
    if number == 2:
        pytest.importorskip("wandb")
    shown = run(script, number, "--nb_epochs", 1, *SMALL, "--data_dir", v2_root)
    assert shown.returncode == 0, shown.stderr
    assert "Traceback" not in shown.stderr
    trained = [experiment] if (script, number) != (BINAURAL, 7) else [experiment, "rgb_teacher_for_kd"]
    assert sorted(str(path) for path in Path().glob("checkpoints/*/best/config.json")) == [
        f"checkpoints/{name}/best/config.json" for name in trained
    ]
    assert len(list(Path("logs").glob("*/wandb/offline-run-*"))) == (number == 2)
    assert {path.name for path in Path().iterdir()} == {"checkpoints", "results", "logs"}


@pytest.mark.parametrize("script", [RGB, BINAURAL])
def test_example_five_starts_and_then_goes_on(script: str, v2_root: Path) -> None:
    experiment = EXPERIMENTS[script][4]
    for epochs in (1, 2):
        ((shim, *flags),) = commands(script, 5, "--nb_epochs", epochs, *SMALL, "--data_dir", v2_root)
        assert ("--checkpoints" in flags) == (epochs == 2)
        cli.main(["train", "rgb" if shim.endswith("train_rgb_depth.py") else "binaural", *flags])
        assert Path(f"checkpoints/{experiment}/epoch_{epochs:04d}.pth").is_file()
    assert Path(f"checkpoints/{experiment}/epoch_0001.pth").is_file()
    with Path(f"logs/{experiment}/metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def test_example_five_goes_on_from_the_last_epoch_unless_told_otherwise() -> None:
    folder = Path("checkpoints/rgb_depth_basic")
    folder.mkdir(parents=True)
    for epoch in (2, 8, 9, 10):
        (folder / f"epoch_{epoch:04d}.pth").touch()
    (flags,) = commands(RGB, 5)
    assert flags[flags.index("--checkpoints") + 1] == "10"
    (flags,) = commands(RGB, 5, "--checkpoints", 8)
    assert flags[-2:] == ["--checkpoints", "8"]


def test_example_seven_trains_a_teacher_only_where_there_is_none(v2_root: Path) -> None:
    """A flag for the student's name once named the teacher, too, which was then not found."""
    teacher, student = commands(BINAURAL, 7, "--seed", 3, "--experiment_name", "mine")
    assert [Path(command[0]).name for command in (teacher, student)] == ["train_rgb_depth.py", "train_distillation.py"]
    assert teacher[-4:] == ["--experiment_name", "mine", "--experiment_name", "rgb_teacher_for_kd"]
    assert student[-4:] == ["--seed", "3", "--experiment_name", "mine"]
    save_tiny_rgb(Path("checkpoints/rgb_teacher_for_kd"), v2_root)
    assert commands(BINAURAL, 7, "--seed", 3, "--experiment_name", "mine") == [student]
    assert student[student.index("--teacher") + 1] == "checkpoints/rgb_teacher_for_kd/best"


@pytest.mark.parametrize(("script", "number", "experiment"), EXAMPLES, ids=[f"{e[0][4:7]}-{e[1]}" for e in EXAMPLES])
def test_flags_after_the_number_win(script: str, number: int, experiment: str) -> None:
    (*_, command) = commands(script, number, "--data_dir", "elsewhere", "--nb_epochs", "1")
    assert experiment in command
    assert " ".join(command).endswith("--data_dir elsewhere --nb_epochs 1")


@pytest.mark.parametrize("script", [RGB, BINAURAL])
@pytest.mark.parametrize("answer", ["3\n", "3"])
def test_the_menu_lists_eight_titles_and_takes_a_number(script: str, answer: str) -> None:
    shown = run(script, python="echo", answer=answer)
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
    for shown in (run(script, number, python="echo"), run(script, python="echo", answer=f"{number}\n")):
        assert shown.returncode == 2
        assert shown.stderr == f"{ROOT / script}: there is no example {number}: choose from 1 to 8\n"


def test_no_answer_is_a_wrong_number() -> None:
    shown = run(RGB, python="echo")
    assert shown.returncode == 2
    assert "choose from 1 to 8" in shown.stderr


def test_a_recording_is_drawn_beside_simulated_ones(v2_root: Path) -> None:
    recording = next(v2_root.glob("Attic/audio/*.wav"))
    command = [sys.executable, str(ROOT / "examples" / "real_and_simulated.py"), str(recording), str(v2_root)]
    shown = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert shown.returncode == 0, shown.stderr
    assert Path("results/real_and_simulated.png").is_file()
    assert shown.stdout.count("quartiles") == 3


def test_what_teaching_changes_is_drawn_at_even_steps_from_the_best_frame_to_the_worst(
    v2_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny(Path("alone"), v2_root)
    save_tiny(Path("taught"), v2_root, "distill")
    save_tiny_rgb(Path("seer"), v2_root)
    main = runpy.run_path(str(ROOT / "examples" / "what_teaching_changes.py"))["main"]
    main(["alone", "taught", "seer"], Path("picture.png"))
    assert capsys.readouterr().out == "picture.png\n"
    with Image.open("picture.png") as picture:
        assert picture.height > 500


def test_figures_of_a_recording_are_those_of_a_decay_worked_out_by_hand() -> None:
    rate, seconds = 44100, 0.5  # for 60 dB
    time = np.arange(20000) / rate
    sound = np.random.default_rng(0).standard_normal((2, time.size)) * 10 ** (-3 * time / seconds)
    level, until, sixty = runpy.run_path(str(ROOT / "examples" / "real_and_simulated.py"))["figures"](
        sound, rate
    ).values()
    # The mean of 10^(-12 t) from 5 to 20 ms, against that from 0 to 3 ms.
    energy = [(10 ** (-12 * a) - 10 ** (-12 * b)) / (b - a) for a, b in ((0, 0.003), (0.005, 0.02))]
    assert level == pytest.approx(10 * np.log10(energy[1] / energy[0]), abs=1)
    assert until == pytest.approx(0.25, abs=0.02)
    assert sixty == pytest.approx(seconds, rel=0.15)


@pytest.mark.parametrize("script", [RGB, BINAURAL, "examples/menu.sh", "examples/demo.sh"])
def test_the_shell_can_read_every_script(script: str) -> None:
    read = subprocess.run(["bash", "-n", str(ROOT / script)], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
