"""Examination of a dataset and its report as text, JSON and HTML page."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.doctor.dataset_checks import check_dataset
from echodepth.apps.doctor.findings import ISSUES, Finding
from echodepth.apps.doctor.row_checks import CheckedRow, check_row
from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, DataError, require_at_least
from echodepth.data.config import DataConfig, extract_data_config
from echodepth.data.dataset import list_split
from echodepth.data.dataset_registry import DATASETS, recognise_dataset
from echodepth.data.decoder import Decoder
from echodepth.data.records import SPLITS, Modality, Record, Split

log = logging.getLogger(__name__)
FAULTS_FOUND = 1
"""Exit status of the command when the dataset has faults."""

_LISTED = 5  # findings of a kind in the text; the JSON has all of them
_MIN_PARALLEL_ROWS = 64  # with fewer rows, starting processes takes longer than reading the files


@dataclass(frozen=True)
class Diagnosis:
    """The result of an examination.

    Attributes:
        root: of the dataset.
        dataset: name of the reader.
        rows: all rows of the splits, checked.
        findings: faults and notes, in the order of ``ISSUES``.
        decoder: reads the rows' files.
    """

    root: Path
    dataset: str
    rows: list[CheckedRow]
    findings: list[Finding]
    decoder: Decoder

    @property
    def faults(self) -> list[Finding]:
        """The findings that are not notes."""
        return [finding for finding in self.findings if finding.severity == "fault"]

    def by_kind(self) -> dict[str, list[Finding]]:
        """Findings by kind, in the order of the report."""
        kinds = {kind: [each for each in self.findings if each.kind == kind] for kind in ISSUES}
        return {kind: members for kind, members in kinds.items() if members}

    @property
    def contents(self) -> str:
        """The examined data in one sentence."""
        splits = Counter(row.split for row in self.rows)
        counts = ", ".join(f"{split} {splits[split]}" for split in SPLITS if splits[split])
        locations = len({row.record.location for row in self.rows})
        return f"{self.dataset}, {len(self.rows)} rows ({counts}) of {locations} location{'s' * (locations != 1)}"

    @property
    def verdict(self) -> str:
        """The findings in one sentence."""
        if not self.faults:
            return "No fault found."
        count, kinds = len(self.faults), len({finding.kind for finding in self.faults})
        return f"{count} fault{'s' * (count != 1)} of {kinds} kind{'s' * (kinds != 1)} found."


def doctor(config: DoctorConfig) -> Diagnosis:
    """Examine a dataset, print the findings, and write doctor.html and doctor.json.

    Raises:
        ConfigError: a flag does not fit the dataset.
        DataError: the root is not a folder, or no split of it lists a row.
    """
    diagnosis = examine(config)
    folder = config.out if config.out is not None else Path("results/doctor") / config.root.resolve().name
    from echodepth.apps.doctor.page import page  # imports matplotlib

    report = json.dumps(to_plain(diagnosis), indent=2) + "\n"
    for name, text in (("doctor.json", report), ("doctor.html", page(diagnosis))):
        with atomic_write(folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    print(report if config.json else as_text(diagnosis), end="")
    log.info("written to %s", folder / "doctor.html")
    return diagnosis


def run(config: DoctorConfig) -> None:
    """The command: as ``doctor``, and exit status 1 if the dataset has faults."""
    if doctor(config).faults:
        raise SystemExit(FAULTS_FOUND)


def examine(config: DoctorConfig) -> Diagnosis:
    """Examine a dataset without writing anything; see ``doctor`` for the errors."""
    require_at_least(1, workers=config.workers)
    if not config.root.is_dir():
        raise DataError(f"{config.root} is not a folder: give the root of a dataset")
    reader = DATASETS[config.dataset or recognise_dataset(config.root)]
    modalities: tuple[Modality, ...] = tuple(each for each in config.modalities if each in reader.modalities)
    if not modalities:
        raise ConfigError(f"--modalities names none that {reader.name} has: give image, audio, depth or some of them")
    data = extract_data_config(config, dataset=reader.name, data_dir=config.root)
    listed, findings, decoder = _list(data, modalities)
    rows = _check_rows(listed, decoder, config.workers)
    findings += [finding for row in rows for finding in row.findings]
    findings += check_dataset(rows, reader.has_locations, config.rooms_apart or not reader.splits_share_rooms)
    # The report names the root once; paths are relative to it.
    prefix = f"{config.root}/"
    findings = [
        replace(each, where=each.where.replace(prefix, ""), what=each.what.replace(prefix, "")) for each in findings
    ]
    order = list(ISSUES)
    findings.sort(key=lambda finding: order.index(finding.kind))
    return Diagnosis(config.root, reader.name, rows, findings, decoder)


def _list(
    data: DataConfig, modalities: tuple[Modality, ...]
) -> tuple[list[tuple[Record, Split]], list[Finding], Decoder]:
    listed: list[tuple[Record, Split]] = []
    findings: list[Finding] = []
    decoder, first_error = None, None
    for split in SPLITS:
        try:
            records, decoder = list_split(data, split, modalities)
        except DataError as error:
            first_error = first_error or error
            if DATASETS[data.dataset].has_split(data.root, split):
                findings.append(Finding("table", f"split {split}", str(error)))
            else:
                findings.append(Finding("no split", f"split {split}", str(error), severity="note"))
        else:
            listed += [(record, split) for record in records]
    if decoder is None:
        raise first_error or DataError(f"{data.root} lists no rows")
    return listed, findings, decoder


def _check_rows(listed: Sequence[tuple[Record, Split]], decoder: Decoder, workers: int) -> list[CheckedRow]:
    progress = tqdm(listed, desc="Examining every row", unit="row", disable=None)
    if workers == 1 or len(listed) < _MIN_PARALLEL_ROWS:
        return [check_row(record, split, decoder) for record, split in progress]
    rows: list[CheckedRow] = Parallel(n_jobs=workers)(
        delayed(check_row)(record, split, decoder) for record, split in progress
    )
    return rows


def to_plain(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as a JSON-compatible dict."""
    return {
        "root": str(diagnosis.root),
        "dataset": diagnosis.dataset,
        "contents": diagnosis.contents,
        "clean": not diagnosis.faults,
        "verdict": diagnosis.verdict,
        "findings": [asdict(finding) for finding in diagnosis.findings],
    }


def as_text(diagnosis: Diagnosis) -> str:
    """The diagnosis for a terminal: a few findings of each kind, and the remedy."""
    lines = [f"{diagnosis.root}: {diagnosis.contents}"]
    for kind, findings in diagnosis.by_kind().items():
        title, remedy = ISSUES[kind]
        lines.append(f"\n{findings[0].severity.upper()}  {kind} ({len(findings)}): {title}")
        for finding in findings[:_LISTED]:
            line = finding.what if finding.what.startswith(finding.where) else f"{finding.where}: {finding.what}"
            lines.append(f"  {line}")
        if len(findings) > _LISTED:
            lines.append(f"  … and {len(findings) - _LISTED} more")
        lines.append(f"  → {remedy}")
    return "\n".join([*lines, "", diagnosis.verdict]) + "\n"
