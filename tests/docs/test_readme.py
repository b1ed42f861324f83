"""Every command and every piece of Python in the documentation is run, and what it names is there."""

import dataclasses
import re
from pathlib import Path

import pytest

from echodepth.apps.convert.config import ConvertConfig
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.live.config import ListenConfig, RecordConfig
from echodepth.data.streaming.config import ShardConfig
from echodepth.evaluation.config import CompareConfig, EvaluateConfig
from echodepth.experiments.config import BenchmarkConfig
from echodepth.inference.config import ExportConfig, PredictConfig
from echodepth.simulate.config import SimulateConfig
from echodepth.training.config import CacheTeacherConfig, DistillationConfig, RGBConfig
from tests.conftest import ROOT
from tests.pages import Block, Reader, blocks, commands
from tests.roots import write_rgbd_root, write_v1_root

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONFIGS = (
    *(SimulateConfig, RGBConfig, DistillationConfig, EvaluateConfig, CompareConfig, PredictConfig),
    *(BenchmarkConfig, CacheTeacherConfig, ConvertConfig, DemoConfig, DoctorConfig, ExportConfig, ListenConfig),
    *(RecordConfig, ShardConfig),
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Path:
    """The folder ``data`` that the pages speak of; read only."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "batvisionv2").symlink_to(v2_root)
    write_v1_root(folder / "batvisionv1")
    write_rgbd_root(folder / "tum_fr1_rpy")
    return folder


@pytest.fixture
def reader(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for dataset in data.iterdir():
        Path("data", dataset.name).symlink_to(dataset)
    return Reader(monkeypatch)


@each_page
def test_what_a_page_says_can_be_done(page: Path, reader: Reader) -> None:
    for block in blocks(page.read_text(), str(page.relative_to(ROOT))):
        reader.follow(block)


@each_page
def test_the_flags_that_a_page_names_exist(page: Path) -> None:
    known = {field.name for config in CONFIGS for field in dataclasses.fields(config)} | {"help", "student"}  # an alias
    assert {*re.findall(r"`--(\w+)", page.read_text())} <= known


@each_page
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}  # as GitHub does
            assert heading in anchors, f"{page.name} links to {link}"


# --- the one who follows the pages ---


def bash(text: str) -> Block:
    return Block("PAGE.md", 10, "bash", text)


def test_blocks_know_their_place() -> None:
    text = "# Title\n\n```bash\nmake test\n```\nwords\n```python\nx = 1\n```\n```\nplain\n```\n"
    assert [(block.line, block.language, block.text) for block in blocks(text, "PAGE.md")] == [
        (4, "bash", "make test\n"),
        (8, "python", "x = 1\n"),
        (11, "", "plain\n"),
    ]
    with pytest.raises(AssertionError, match=r"PAGE\.md: 1 fences, but 0 blocks"):
        blocks("```bash\nmake test\n", "PAGE.md")


def test_commands_are_joined_unrolled_and_without_comments() -> None:
    text = """
# A comment.
echodepth train rgb \\
    --experiment_name "two words"    # what it is called
for seed in 0 1; do
    echodepth train rgb --seed $seed
    for name in a; do echodepth evaluate --checkpoint ${name}_$seed; done
done
cd x && make test
"""
    assert [(command.place, *command.words) for command in commands(bash(text))] == [
        ("PAGE.md:12", "echodepth", "train", "rgb", "--experiment_name", "two words"),
        ("PAGE.md:15", "echodepth", "train", "rgb", "--seed", "0"),
        ("PAGE.md:16", "echodepth", "evaluate", "--checkpoint", "a_0"),
        ("PAGE.md:15", "echodepth", "train", "rgb", "--seed", "1"),
        ("PAGE.md:16", "echodepth", "evaluate", "--checkpoint", "a_1"),
        ("PAGE.md:18", "cd", "x"),
        ("PAGE.md:18", "make", "test"),
    ]


def test_a_page_is_followed_from_top_to_bottom(reader: Reader) -> None:
    """Commands build on earlier ones; a teacher, an epoch and a file that the page takes for granted are there."""
    text = """
WANDB_MODE=offline python train_rgb_depth.py --base_channels 64 --use_wandb --experiment_name a --checkpoints 50
echodepth train rgb --base_channels 64 --experiment_name a --checkpoints 100 --nb_epochs 200
python train_distillation.py --teacher checkpoints/some_teacher/best --experiment_name b
echodepth evaluate --checkpoint left_out --protocol loo
echodepth predict --checkpoint b kitchen.wav
torchrun --nproc_per_node 2 train_rgb_depth.py --devices 2 --experiment_name never
bash run_binaural_attention_examples.sh
make demo QUICK=1
pip install 'echodepth[track]'
"""
    reader.follow(bash(text))
    assert sorted(path.name for path in Path("checkpoints").iterdir()) == ["a", "b", "left_out", "some_teacher"]
    assert [epoch for epoch in (1, 2, 3, 4) if Path(f"checkpoints/a/epoch_{epoch:04d}.pth").is_file()] == [1, 2, 3]
    assert Path("results/left_out/evaluate_test_loo.json").is_file()
    assert Path("results/b/predictions/kitchen_depth.npy").is_file()
    code = "x = 1\nimport soundfile\nassert soundfile.read('hall.wav')[0].shape[1] == 2\n"
    reader.follow(Block("PAGE.md", 30, "python", code))
    reader.follow(Block("PAGE.md", 40, "python", "assert x == 1\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nunheard --of", r"PAGE\.md:11: unheard --of: no test knows how to run unheard"),
        ("echodepth train rgb --bach_size 3", r"PAGE\.md:10: .*ended with status 2"),
        ("echodepth train rgb --data_dir nowhere", r"PAGE\.md:10: .*ended with status 2"),
        ("torchrun --standalone train_rgb_depth.py --strat ddp", r"PAGE\.md:10: .*ended with status 2"),
        ("python train_by_smell.py", r"PAGE\.md:10: .*there is no train_by_smell\.py"),
        ("make tea", r"PAGE\.md:10: .*the Makefile knows no tea"),
        ("make test SPEED=2", r"PAGE\.md:10: .*the Makefile knows no SPEED=2"),
        ("pip install -e '.[dev,spices]'", r"PAGE\.md:10: .*no extra \{'spices'\}"),
        ("bash run_rgb_depth_examples.sh 9", r"PAGE\.md:10: .*there is no example 9"),
    ],
)
def test_a_page_that_is_wrong_is_named_with_its_line(reader: Reader, text: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        reader.follow(bash(text))


def test_a_pipe_is_not_misread() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"PAGE\.md:10: \| in a command is not supported"):
        commands(bash("echodepth --help | head"))


def test_no_block_goes_untested_under_another_name(reader: Reader) -> None:
    with pytest.raises(AssertionError, match=r"PAGE\.md:10: console is neither bash nor python"):
        reader.follow(Block("PAGE.md", 10, "console", "$ make test\n"))


def test_a_python_block_that_fails_is_named_with_its_line(reader: Reader) -> None:
    with pytest.raises(AssertionError, match=r"PAGE\.md:10: this Python block: .*nothing"):
        reader.follow(Block("PAGE.md", 10, "python", "print(nothing)"))
