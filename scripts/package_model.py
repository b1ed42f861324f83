"""Put a trained model into the package, as echodepth/pretrained/NAME, with its weights in float16.

    python scripts/package_model.py MODEL --name echodepth-light --licence mit --data_dir data/unseen_rooms \
        --test "300 unseen rooms=results/unseen/evaluate_test_valid.json" \
        --test "an unseen rig=results/other_rig/evaluate_test_valid.json"

MODEL is what --checkpoint takes. --data_dir holds rooms that it was not trained on: their test split measures what the
float16 weights change. Each --test is a title and the result of `echodepth evaluate`, for the card.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from echodepth.core.packaged import PRETRAINED
from echodepth.data.config import SOURCE_FLAGS
from echodepth.inference.config import ExportConfig
from echodepth.inference.export import export
from echodepth.models.checkpoint import load_depth_model, save_model

LARGEST = 2.5e6
"""Bytes of a packaged model."""
SHOWN = ("rmse", "abs_rel", "delta1", "left_right", "up_down")


def read_test(title_and_path: str) -> tuple[str, dict[str, float]]:
    """Title and figures of a ``--test``."""
    title, _, path = title_and_path.rpartition("=")
    result = json.loads(Path(path).read_text())
    figures = {"images": result["counts"]["images"], **{name: result["metrics"][name] for name in SHOWN}}
    figures |= {name: value for name, value in (result["calibration"] or {}).items() if isinstance(value, float)}
    return title, {name: value for name, value in figures.items() if value is not None}


def package(checkpoint: str, name: str, licence: str, data_dir: Path, tests: dict[str, dict[str, float]]) -> Path:
    """Write the folder, without the address of the training data; a larger one than ``LARGEST`` is an error."""
    model = load_depth_model(checkpoint)
    data = {flag: value for flag, value in model.run.data.items() if flag not in SOURCE_FLAGS}
    model.run = replace(model.run, experiment_name=name, data=data, tests=tests)
    with tempfile.TemporaryDirectory() as temporary:
        save_model(model, Path(temporary) / "float32")
        config = ExportConfig(f"{temporary}/float32", "safetensors", "fp16", Path(temporary), data_dir=data_dir)
        rounded = load_depth_model(export(config))
        save_model(rounded, Path(temporary) / name, licence)
        if (size := sum(path.stat().st_size for path in (Path(temporary) / name).iterdir())) > LARGEST:
            raise SystemExit(f"{name} has {size / 1e6:.2f} MB, more than {LARGEST / 1e6:g}: nothing was written")
    save_model(rounded, PRETRAINED / name, licence)
    print(f"{PRETRAINED / name}: {size / 1e6:.2f} MB, depth changes by at most {rounded.run.dtype_error:.2g} m")
    return PRETRAINED / name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--name", required=True)
    parser.add_argument("--licence", default="mit")
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--test", action="append", default=[])
    given = parser.parse_args()
    package(given.model, given.name, given.licence, given.data_dir, dict(map(read_test, given.test)))
