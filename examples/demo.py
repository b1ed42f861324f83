"""Few labels: a teacher sees depth in a tenth of the rooms, and teaches a student to hear it in the others.

Simulates rooms; trains a teacher on the labelled ones, a student on these alone, and a student that the teacher also
supervises in the other rooms; compares them, and the model that comes with the package, on test rooms in one report.
``make demo`` runs it, in one process, because importing torch anew for each command takes longer than some of the
steps. ``quick`` is a smaller version.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from echodepth.cli import main as echodepth
from echodepth.core.packaged import DEFAULT_MODEL


@dataclass(frozen=True)
class Size:
    """How much is simulated and trained.

    Attributes:
        name: of the dataset, and the start of the experiments' names.
        rooms: flags of the amount to simulate.
        image_size: pixels.
        spectrogram: flags of the student's spectrogram.
        epochs: of the student that is distilled; the others see as many batches.
        labelled: one of so many rooms has depth.
    """

    name: str
    rooms: str
    image_size: int
    spectrogram: str
    epochs: int
    labelled: int


SIZES = {
    "full": Size("demo", "--rooms 300 --poses 2 --image_size 64", 64, "", 14, 10),
    "quick": Size("demo_quick", "--rooms 30 --poses 4 --image_size 32", 32, "--audio_bins 16 --audio_frames 64", 6, 4),
}


def demonstrate(size: Size) -> Path:
    """Run all steps; returns the report."""
    data, name, labelled = f"data/{size.name}", size.name, size.labelled
    share = 1 / labelled
    flags = (
        f"--dataset simulated --data_dir {data} --image_size {size.image_size} --base_channels 8 --batch_size 8 "
        f"--learning_rate 0.002 --num_workers 0 --overwrite --label_fraction {share} --val_label_fraction {share}"
    )
    # Without the rooms that have no depth, more epochs make as many steps.
    many = f"--nb_epochs {size.epochs * labelled} --val_frequency {labelled} --save_frequency {size.epochs * labelled}"
    distilled = f"--nb_epochs {size.epochs} --save_frequency {size.epochs} --teacher {name}_rgb"
    audio = f"{flags} {size.spectrogram}"
    steps = (
        ("Simulating rooms, images, depth and binaural echoes", f"simulate --out {data} {size.rooms}"),
        (
            f"Training the teacher, an RGB network, on one of {labelled} rooms",
            f"train rgb {flags} {many} --experiment_name {name}_rgb",
        ),
        (
            "Training the student, an audio network, on the same rooms, without the teacher",
            f"train binaural {audio} {many} --experiment_name {name}_audio",
        ),
        (
            "Training the student by distillation: the teacher's depth replaces what was not measured",
            f"train distill {audio} {distilled} --experiment_name {name}_distilled",
        ),
        (
            "Comparing them, and the model that comes with the package, on test rooms",
            f"compare {name}_rgb {name}_audio {name}_distilled {DEFAULT_MODEL} --name {name} "
            f"--dataset simulated --data_dir {data}",
        ),
    )
    started = time.monotonic()
    for number, (title, words) in enumerate(steps, start=1):
        print(f"\n{number}/{len(steps)}  {title}  ({time.monotonic() - started:.0f} s so far)", flush=True)
        echodepth(words.split())
    report = Path("results", name, "comparison.html").resolve()
    print(f"\nDone in {time.monotonic() - started:.0f} s. Open the report: {report}")
    print(f"The same labels with and without the teacher: {conclusion(report, f'{name}_audio', f'{name}_distilled')}.")
    return report


def conclusion(report: Path, student: str, distilled: str) -> str:
    """The verdict on the two students, from the interval of their difference, which is paired over rooms."""
    told = json.loads(report.with_suffix(".json").read_text())
    names = {row["run"]: f"{row['label']} · {row['run']}" for row in told["rows"] if row["control"] == "none"}
    pair = {names[student], names[distilled]}
    found = next(each for each in told["differences"] if {each["model"], each["other"]} == pair)
    return f"{found['model']} against {found['other']}: {found['verdicts']['rmse']}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("size", nargs="?", choices=SIZES, default="full")
    demonstrate(SIZES[parser.parse_args().size])
