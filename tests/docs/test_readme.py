"""Documentation pages: every command and Python block runs, and every flag and link exists."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from echodepth.apps.commands import COMMANDS
from echodepth.core.flags import flag_types
from echodepth.data.dataset_registry import DATASETS
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.networks import NETWORKS
from tests.conftest import ROOT
from tests.pages import Block, blocks, commands
from tests.reader import Reader
from tests.roots import write_rgbd_root, write_v1_root

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMON_FLAGS = {"help", "version", "completion", "verbose", "quiet", "plugin", "student"}
"""Flags of every command, and the alias of --model."""
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Path:
    """The folder ``data`` of the pages; read only."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "batvisionv2").symlink_to(v2_root)
    write_v1_root(folder / "batvisionv1")
    write_rgbd_root(folder / "tum_fr1_rpy")
    return folder


@pytest.fixture
def reader(
    tmp_path: Path, data: Path, traced_once: None, simulated_once: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for dataset in data.iterdir():
        Path("data", dataset.name).symlink_to(dataset)
    with monkeypatch.context() as patch:
        yield Reader(patch)


@pytest.fixture(scope="module")
def known_flags() -> set[str]:
    """All flags of all commands, networks, front ends and datasets."""
    known = set(COMMON_FLAGS)
    for command in COMMANDS:
        module, _, attribute = command.flags.partition(":")
        flags = getattr(importlib.import_module(module), attribute)
        known |= flag_types(flags if isinstance(flags, type) else flags([]).config).keys()
    for entry in (*NETWORKS, *FRONT_ENDS, *DATASETS):
        known |= {field.name for field in dataclasses.fields(entry.config)}
    return known


@pytest.mark.slow
@each_page
def test_commands_and_python_of_a_page_run(page: Path, reader: Reader) -> None:
    failure = reader.failure(blocks(page.read_text(), str(page.relative_to(ROOT))))
    assert failure is None, failure


@each_page
def test_the_flags_that_a_page_names_exist(page: Path, known_flags: set[str]) -> None:
    text = page.read_text()
    defined_by_page = {*re.findall(r"^    (\w+): [^\n=]+ = ", text, re.MULTILINE)}
    assert {*re.findall(r"`--(\w+)", text)} <= known_flags | defined_by_page


def test_the_flags_that_messages_name_exist(known_flags: set[str]) -> None:
    """Every text of the package: a hint that names a flag no command has leads nowhere."""
    others = {
        "force_reinstall",
        "check",
        "shm_size",
        "error_unmatch",
        "always",
        "dirty",
        "abbrev",
        "exclude",
        "tyro_write_completion",
    }
    for path in (ROOT / "echodepth").rglob("*.py"):
        texts = (each.value for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Constant))
        named = {
            flag for text in texts if isinstance(text, str) for flag in re.findall(r"(?<![\w-])--([a-z][\w-]*)", text)
        }
        unknown = {flag.replace("-", "_") for flag in named} - known_flags - others  # pip, git, docker, shasum, tyro
        assert not unknown, f"{path} names {unknown}"


@each_page
def test_the_links_of_a_page_exist(page: Path) -> None:
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


# --- the reader of the pages ---


def bash(text: str) -> Block:
    return Block("PAGE.md", 10, "bash", text)


def test_blocks_have_line_numbers() -> None:
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
    --experiment_name "two words"    # its name
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


@pytest.mark.slow
def test_a_page_runs_from_top_to_bottom(reader: Reader) -> None:
    """Commands use results of earlier ones; a teacher, an epoch and a file that the page does not create exist."""
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
        ("\nunknown --command", r"PAGE\.md:11: unknown --command: no test can run unknown"),
        ("echodepth train rgb --bach_size 3", r"PAGE\.md:10: .*ended with status 2"),
        ("echodepth train rgb --data_dir nowhere", r"PAGE\.md:10: .*ended with status 2"),
        ("torchrun --standalone train_rgb_depth.py --strat ddp", r"PAGE\.md:10: .*ended with status 2"),
        ("python train_lidar.py", r"PAGE\.md:10: .*there is no train_lidar\.py"),
        ("make tea", r"PAGE\.md:10: .*the Makefile has no tea"),
        ("make test SPEED=2", r"PAGE\.md:10: .*the Makefile has no SPEED=2"),
        ("pip install -e '.[dev,spices]'", r"PAGE\.md:10: .*no extra \{'spices'\}"),
        ("bash run_rgb_depth_examples.sh 9", r"PAGE\.md:10: .*there is no example 9"),
    ],
)
def test_an_error_names_the_page_and_line(reader: Reader, text: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        reader.follow(bash(text))


def test_a_pipe_is_not_supported() -> None:
    with pytest.raises(AssertionError, match=r"PAGE\.md:10: \| in a command is not supported"):
        commands(bash("echodepth --help | head"))


def test_a_block_of_an_unknown_language_is_an_error(reader: Reader) -> None:
    with pytest.raises(AssertionError, match=r"PAGE\.md:10: console is neither bash nor python"):
        reader.follow(Block("PAGE.md", 10, "console", "$ make test\n"))


def test_an_error_in_a_python_block_names_the_page_and_line(reader: Reader) -> None:
    failure = reader.failure([Block("PAGE.md", 10, "python", "print(nothing)")])
    assert failure is not None
    assert re.match(r"PAGE\.md:10: this Python block: .*nothing", failure)
    assert 'File "PAGE.md", line 10' in failure


@pytest.mark.slow
def test_a_module_of_a_page_is_a_plugin_for_its_commands_alone(reader: Reader) -> None:
    module = """# page_network.py
from dataclasses import dataclass

from torch import Tensor, nn

from echodepth.models.heads import DepthHead
from echodepth.models.layers import DepthNet, Prediction
from echodepth.models.networks import NETWORKS


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int = 4


@NETWORKS.register
class PageNetwork(DepthNet):
    name, label, modality, config = "page_network", "one convolution", "image", Config

    def __init__(self, width: int = 4, output_size: int = 32, max_depth: float = 30.0) -> None:
        super().__init__()
        self.output_size, self.max_depth = output_size, max_depth
        self.body, self.head = nn.Conv2d(3, width, 3, padding=1), DepthHead(width, max_depth)

    def predict(self, x: Tensor) -> Prediction:
        return Prediction(self.head(self.body(x), self.output_size), None, {})
"""
    reader.follow(Block("PAGE.md", 10, "python", module))
    train = "echodepth --plugin page_network train rgb --model page_network --width 2 --experiment_name plugin"
    reader.follow(bash(train))
    assert Path("checkpoints/plugin/best/config.json").is_file()
    assert "page_network" in NETWORKS
    reader.monkeypatch.undo()
    assert "page_network" not in NETWORKS
