"""The table of the studies of distillation: each method against no teacher and against the same batches without one."""

from collections import defaultdict

from echodepth.experiments.config import ExperimentConfig
from echodepth.experiments.grid import METHODS
from echodepth.experiments.paired import PairedDifference, holm, paired_by_seed, paired_difference
from echodepth.experiments.table import COLUMNS, Rows, gap_closed, setting, spread

_HEADS = ("method", "teacher", "seeds", *COLUMNS.values(), "gap closed", "against none", "against same batches")
_ALPHA = 0.05


def distillation_markdown(config: ExperimentConfig, rows: Rows) -> str:
    """The tables, one for each number of rooms and label fraction; a row is a method.

    Args:
        config: of the study.
        rows: one for each run, with its frames.
    """
    lines = [f"# {config.study}, {config.preset}", "", setting(config, rows), "", *_LEGEND]
    blocks: dict[tuple[int, float], Rows] = defaultdict(list)
    for row in rows:
        blocks[row["rooms"], row["label_fraction"]].append(row)
    for (rooms, fraction), members in sorted(blocks.items(), key=lambda block: (block[0][0], -block[0][1])):
        lines += ["", f"## {rooms} rooms, labels {fraction:g}", "", *_block(members)]
    return "\n".join(lines) + "\n"


_LEGEND = (
    "Differences are in RMSE, negative where the method is better, paired over rooms and seeds, with the 95 % interval",
    "from the variances between rooms and between seeds; p after Holm's correction for the methods of a table. Where a",
    "difference is not distinguishable from 0, the brackets tell the smallest one that would have been seen in 80 % of",
    "repetitions.",
)


def _block(rows: Rows) -> list[str]:
    groups: dict[tuple[str, str], Rows] = defaultdict(list)
    for row in rows:
        groups[row["method"], row["teacher_data"]].append(row)
    columns = [_compare(groups, "none"), _compare(groups, "same_batches")]
    lines = [f"| {' | '.join(_HEADS)} |", "|---" * len(_HEADS) + "|"]
    order = {name: index for names in METHODS.values() for index, name in enumerate(names)}
    for key in sorted(groups, key=lambda key: (order.get(key[0], len(order)), key)):
        members = groups[key]
        closed = gap_closed(rows, key[1], members)
        cells = [key[0], key[1], str(len(members))]
        cells += [spread([row[figure] for row in members]) for figure in COLUMNS]
        cells += ["" if closed is None else f"{100 * closed:.0f} %"]
        lines.append(f"| {' | '.join([*cells, *(column.get(key, '') for column in columns)])} |")
    return lines


def _compare(groups: dict[tuple[str, str], Rows], reference: str) -> dict[tuple[str, str], str]:
    """Each method against a reference, in words."""
    reference_rows = next((members for (method, _), members in groups.items() if method == reference), [])
    differences: dict[tuple[str, str], PairedDifference] = {}
    for key, members in groups.items():
        is_student = not key[0].startswith("teacher") and key[0] not in (reference, "mean_depth", "shuffled_audio")
        pairs = paired_by_seed(members, reference_rows)
        if is_student and pairs:
            differences[key] = paired_difference(pairs)
    corrected = holm([difference.p_value for difference in differences.values()])
    return {key: in_words(difference, p) for (key, difference), p in zip(differences.items(), corrected, strict=True)}


def in_words(difference: PairedDifference, p: float) -> str:
    """A difference with its interval and what follows from it.

    Args:
        difference: to describe.
        p: its corrected p-value.
    """
    low, high = difference.interval
    text = f"{difference.mean:+.3f} m ({difference.relative:+.1%}) [{low:+.3f}, {high:+.3f}], p {p:.2g}"
    if p < _ALPHA:
        return f"{text}: **{'better' if difference.mean < 0 else 'worse'}**"
    return f"{text}: not distinguishable (≥ {difference.detectable:.3f} m would be)"
