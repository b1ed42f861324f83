"""Examination of a dataset and its report as text, JSON and HTML page."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.doctor.dataset_checks import check_dataset
from echodepth.apps.doctor.diagnosis import Diagnosis, as_text, to_plain
from echodepth.apps.doctor.findings import ISSUES, Finding
from echodepth.apps.doctor.page import page
from echodepth.apps.doctor.row_checks import CheckedRow, check_row
from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, DataError, require_at_least
from echodepth.core.integrity import SUMS
from echodepth.core.workers import parallel_map
from echodepth.data.config import DataConfig, extract_data_config
from echodepth.data.dataset import list_split
from echodepth.data.dataset_registry import DATASETS, recognise_dataset
from echodepth.data.decoder import Decoder
from echodepth.data.records import SPLITS, Modality, Record, Split

log = logging.getLogger(__name__)
FAULTS_FOUND = 1
"""Exit status of the command when the dataset has faults."""

_CHUNK = 16  # rows that a worker checks at a time
_MIN_PARALLEL_ROWS = 64  # with fewer rows, starting processes takes longer than reading the files


def doctor(config: DoctorConfig) -> Diagnosis:
    """Examine a dataset, print the findings, and write doctor.html and doctor.json.

    Raises:
        ConfigError: a flag does not fit the dataset.
        DataError: the root is not a folder, or no split of it lists a row.
    """
    diagnosis = examine(config)
    folder = config.out if config.out is not None else Path("results/doctor") / config.root.resolve().name
    report = json.dumps(to_plain(diagnosis), indent=2) + "\n"
    for name, text in (("doctor.json", report), ("doctor.html", page(diagnosis))):
        with atomic_write(folder / name) as unfinished:
            # A path may have bytes that are no UTF-8.
            unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")
    print(report if config.json else as_text(diagnosis), end="")
    log.info("written to %s", folder / "doctor.html")
    return diagnosis


def run(config: DoctorConfig) -> Diagnosis:
    """The command: as ``doctor``, and exit status 1 if the dataset has faults."""
    diagnosis = doctor(config)
    if diagnosis.faults:
        raise SystemExit(FAULTS_FOUND)
    return diagnosis


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
    findings += _damaged(data, [record for record, _ in listed])
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
            records, decoder = list_split(data, split, modalities, allow_faults=True)
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


def _damaged(data: DataConfig, records: Sequence[Record]) -> list[Finding]:
    """A finding for every file that differs from its digest."""
    rows = {file: each for each in records for file in (each.image, *each.audio, each.depth)}
    findings = []
    for path in DATASETS[data.dataset].damaged_files(data, records):
        row = rows.get(data.root / path)
        where, names = (path, ()) if row is None else (row.source, (row.name,))
        findings.append(Finding("damaged", where, f"{path} is missing, or differs from its sha256 in {SUMS}", names))
    return findings


def _check_rows(listed: Sequence[tuple[Record, Split]], decoder: Decoder, workers: int) -> list[CheckedRow]:
    if len(listed) < _MIN_PARALLEL_ROWS:
        workers = 1
    tasks = ((listed[start : start + _CHUNK], decoder) for start in range(0, len(listed), _CHUNK))
    rows: list[CheckedRow] = []
    with tqdm(total=len(listed), desc="Examining every row", unit="row", disable=None) as bar:
        for checked in parallel_map(_check_chunk, tasks, workers, keep_order=True):
            rows += checked
            bar.update(len(checked))
    return rows


def _check_chunk(listed: Sequence[tuple[Record, Split]], decoder: Decoder) -> list[CheckedRow]:
    return [check_row(record, split, decoder) for record, split in listed]
