"""Contact sheets: which frames are chosen, and that nothing is written without one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echodepth.report.contact_sheet import MAX_FRAMES, ContactSheet


def test_chosen_frames_are_evenly_spaced_and_include_both_ends(tmp_path: Path) -> None:
    assert ContactSheet(tmp_path / "sheet.png", 3).chosen == {0, 1, 2}
    chosen = sorted(ContactSheet(tmp_path / "sheet.png", 1000).chosen)
    assert len(chosen) == MAX_FRAMES
    assert (chosen[0], chosen[-1]) == (0, 999)
    assert set(np.diff(chosen)) <= {43, 44}  # 999 / 23


def test_frames_fill_rows_and_images_stand_beside_depth(tmp_path: Path) -> None:
    depth, image = np.full((8, 8), 2.0), np.zeros((8, 8, 3))
    sizes = {}
    for name, count, given in (("one", 1, None), ("six", 6, None), ("seven", 7, None), ("pictured", 1, image)):
        sheet = ContactSheet(tmp_path / f"{name}.png", count)
        for index in range(count):
            sheet.add(f"frame {index}", depth, given)
        assert sheet.write("model", 10.0) == [tmp_path / f"{name}.png"]
        with Image.open(tmp_path / f"{name}.png") as drawn:
            sizes[name] = drawn.size
    one = sizes["one"][0]
    # Releases of matplotlib differ in whether they round the pixels of a side or cut them off.
    assert sizes["six"][0] == pytest.approx(6 * one, abs=6)
    assert sizes["seven"][0] == sizes["six"][0]
    assert sizes["seven"][1] > sizes["six"][1]
    assert sizes["pictured"][0] == pytest.approx(2 * one, abs=6)


def test_an_empty_sheet_is_not_written(tmp_path: Path) -> None:
    assert ContactSheet(tmp_path / "sheet.png", 3).write("model", 10.0) == []
    assert list(tmp_path.iterdir()) == []
