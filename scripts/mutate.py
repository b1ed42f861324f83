"""Mutation testing: change one operator, constant, comparison, condition or check at a time, and see a test fail.

    python -m scripts.mutate                              # a seeded sample of every part
    python -m scripts.mutate --share 1 --only heads       # every mutant of the modules with "heads" in their path

A change that no test notices is a survivor. ``equivalent_mutants.toml`` lists those that change no result, each with
the reason; of the others, ``--least`` must die. Each mutant is a fork of one process that has imported torch, and runs
the quick tests of its part until the first fails. The source files are never written to.
"""

import argparse
import importlib
import json
import os
import random
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.mutation_runs import OPTIONS, ForkedTests, forked, in_a_function, run_imported
from scripts.mutations import Mutation, mutations

ROOT = Path(__file__).parent.parent
PARTS = {
    "losses": (["losses/*.py"], ["losses"]),
    "metrics": (["metrics/[!p]*.py"], ["metrics"]),
    "protocols": (["metrics/protocols.py"], ["metrics/test_protocols.py"]),
    "transforms": (
        ["data/augmentation.py", "data/images.py", "data/image_stream.py"],
        ["data/test_augmentation.py", "data/test_images.py", "data/test_hostile_images.py"],
    ),
    "audio": (["data/audio.py"], ["data/test_audio.py", "data/test_onset.py", "data/test_wav_tails.py"]),
    "recordings": (
        ["data/wav_file.py", "data/wav_layout.py"],
        [
            *(f"data/test_{name}.py" for name in ("wav_files", "wav_tails", "wav_layout", "audio", "hostile_files")),
        ],
    ),
    "distillation": (
        ["distillation/losses/*.py", "distillation/scale_alignment.py"],
        [
            *(f"distillation/test_{name}.py" for name in ("response_losses", "feature_losses", "learned_alignment")),
            *(f"distillation/test_{name}.py" for name in ("loss_registry", "teacher_outputs", "scale_alignment")),
        ],
    ),
    "heads": (["models/heads.py"], ["models/test_heads.py", "models/test_golden.py"]),
    "front end": (
        ["models/frontends/*.py", "core/chirp.py"],
        [
            *(f"models/test_{name}.py" for name in ("front_end", "front_end_settings", "pulse_compression", "golden")),
        ],
    ),
    "weight average": (["training/weight_average.py"], ["training/test_weight_average.py"]),
    "names and digests": (
        ["core/safe_paths.py", "core/integrity.py"],
        ["core/test_safe_paths.py", "core/test_integrity.py"],
    ),
    "paired differences": (["experiments/paired.py"], ["experiments/test_study_tables.py"]),
}
"""Modules of a part of the package, and the files and folders of its tests."""
THIRD_PARTY = (
    *("torch", "scipy.signal", "scipy.stats", "soundfile", "torchmetrics", "tyro", "hypothesis", "huggingface_hub"),
    *("lightning", "matplotlib.figure"),
)
"""Imported once, before the forks."""
COLUMNS = ("mutants", "killed", "equivalent", "survived")


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        part: key in ``PARTS``.
        path: the module's file below the package.
        mutation: the change.
    """

    part: str
    path: str
    mutation: Mutation


def every_mutant(only: str) -> Iterator[Mutant]:
    """All mutants of the modules whose path contains a text."""
    for part, (patterns, _) in PARTS.items():
        paths = (path.relative_to(ROOT / "echodepth").as_posix() for path in (ROOT / "echodepth").rglob("*.py"))
        for path in sorted(path for path in paths if any(fnmatch(path, pattern) for pattern in patterns)):
            if only in path:
                source = (ROOT / "echodepth" / path).read_text()
                yield from (Mutant(part, path, mutation) for mutation in mutations(source))


def sample(mutants: list[Mutant], share: float, seed: int) -> list[Mutant]:
    """A random share of every part's mutants, and at least eight of each part."""
    chosen: list[Mutant] = []
    for part in PARTS:
        own = [mutant for mutant in mutants if mutant.part == part]
        count = min(len(own), max(8, round(share * len(own))))
        chosen += random.Random(f"{seed} {part}").sample(own, count)
    return chosen


def survives(mutants: list[Mutant], workers: int, logs: Path) -> list[bool]:
    """Whether no test notices, for every mutant."""
    killed = dict.fromkeys(mutants, False)
    for part, (_, tests) in PARTS.items():
        own = [mutant for mutant in mutants if mutant.part == part]
        if own:
            log = logs / f"{part.replace(' ', '_')}.log"
            for mutant, dies in zip(
                own, forked_part(own, [f"tests/{name}" for name in tests], workers, log), strict=True
            ):
                killed[mutant] = dies
                if not dies:
                    print(f"survived: {mutant.path}:{mutant.mutation.line}: {mutant.mutation.before}")
                    print(f"     now: {mutant.mutation.after}", flush=True)
    return [not killed[mutant] for mutant in mutants]


def forked_part(mutants: list[Mutant], tests: list[str], workers: int, log: Path) -> list[bool]:
    """Whether a test fails, for every mutant of one part."""
    changes = [(ROOT / "echodepth" / mutant.path, mutant.mutation.source) for mutant in mutants]
    within = [in_a_function(path.read_text(), changed) for path, changed in changes]
    results = log.with_suffix(".results.json")

    def run_collected() -> int:
        plugin = ForkedTests([change for change, inside in zip(changes, within, strict=True) if inside], workers, log)
        code = int(pytest.main([*OPTIONS, *tests], plugins=[plugin]))
        results.write_text(json.dumps([plugin.seconds, plugin.killed]))
        return code

    # In a process of its own: this one stays free of the package, for the mutants that need an import.
    ((code, _),) = forked([run_collected], 1, log.with_suffix(".collect.log"), 1e6)
    if code:
        raise SystemExit(f"the tests of {log.stem} fail without a change, or do not run: see {log.parent}")
    seconds, killed = json.loads(results.read_text())
    print(f"{log.stem}: {seconds:.1f} s of processor time without a mutant", flush=True)
    imports = [
        partial(run_imported, change, tests) for change, inside in zip(changes, within, strict=True) if not inside
    ]
    by_import = [code != 0 for code, _ in forked(imports, workers, log, 3 * seconds + 60)]
    return [killed.pop(0) if inside else by_import.pop(0) for inside in within]


def equivalent_reasons() -> dict[tuple[str, str, str], str]:
    """Reason by module, line before and line after."""
    listed = tomllib.loads((ROOT / "scripts" / "equivalent_mutants.toml").read_text())["mutant"]
    return {(each["module"], each["before"], each["after"]): each["reason"] for each in listed}


def report(mutants: list[Mutant], survivors_of: list[bool]) -> dict[str, Any]:
    """Numbers of every part, of every module and of all, and the survivors."""
    reasons = equivalent_reasons()
    parts: dict[str, dict[str, Any]] = {}
    modules: dict[str, dict[str, Any]] = {}
    survivors = []
    for mutant, survived in zip(mutants, survivors_of, strict=True):
        key = (mutant.path, mutant.mutation.before, mutant.mutation.after)
        outcome = "killed" if not survived else "equivalent" if key in reasons else "survived"
        for row in (
            parts.setdefault(mutant.part, dict.fromkeys(COLUMNS, 0)),
            modules.setdefault(mutant.path, dict.fromkeys(COLUMNS, 0)),
        ):
            row["mutants"] += 1
            row[outcome] += 1
        if outcome == "survived":
            survivors.append({"module": key[0], "before": key[1], "after": key[2]})
    parts["all"] = {column: sum(row[column] for row in parts.values()) for column in COLUMNS}
    for row in [*parts.values(), *modules.values()]:
        row["share"] = round(row["killed"] / max(1, row["killed"] + row["survived"]), 3)
    return {"parts": parts, "modules": dict(sorted(modules.items())), "survivors": survivors}


def main() -> None:
    """Parse the flags, test the mutants, print the table, and fail below ``--least``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.15, help="share of all mutants that is tested")
    parser.add_argument("--only", default="", help="modules whose path contains this")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--workers", type=int, default=2, help="processes side by side")
    parser.add_argument("--least", type=float, default=0.9, help="share of the non-equivalent mutants that must die")
    parser.add_argument("--logs", type=Path, default=ROOT / "logs" / "mutants", help="folder of pytest's outputs")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers and the survivors")
    flags = parser.parse_args()
    flags.logs.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    for name in THIRD_PARTY:
        importlib.import_module(name)
    mutants = sample(list(every_mutant(flags.only)), flags.share, flags.seed)
    begun = time.monotonic()
    sampled = {"share": flags.share, "seed": flags.seed}
    found = {**sampled, **report(mutants, survives(mutants, flags.workers, flags.logs))}
    for kind in ("modules", "parts"):
        print(f"\n{kind:42}" + "".join(f"{column:>12}" for column in found["parts"]["all"]))
        for name, row in found[kind].items():
            print(f"{name:42}" + "".join(f"{value:12}" for value in row.values()))
    print(f"{len(mutants)} mutants in {(time.monotonic() - begun) / 60:.0f} minutes")
    if flags.out is not None:
        flags.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if found["parts"]["all"]["share"] < flags.least:
        raise SystemExit(f"fewer than {flags.least:.0%} of the mutants died")


if __name__ == "__main__":
    main()
