"""The result of an examination, as text and as plain values."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echodepth.apps.doctor.findings import ISSUES, Finding
from echodepth.apps.doctor.row_checks import CheckedRow
from echodepth.data.decoder import Decoder
from echodepth.data.records import SPLITS

_LISTED = 5  # findings of a kind in the text; the JSON has all of them


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
