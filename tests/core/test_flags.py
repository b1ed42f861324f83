"""Flag groups: composed from parts, flattened to a record, and built again from one."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from echodepth.core.errors import ConfigError
from echodepth.core.flags import (
    PathsFromText,
    build,
    compose,
    flag_types,
    flat,
    plain,
    replace,
    select,
    with_groups,
)


@dataclass(frozen=True, kw_only=True)
class Loss:
    lambda_l1: float = 1.0


@dataclass(frozen=True, kw_only=True)
class EdgeLoss:
    lambda_edge: float = 0.0
    scales: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True)
class OtherEdgeLoss:
    lambda_edge: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Data:
    root: Path | str | None = None
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str
    seed: int = 0
    data: Data
    loss: Loss


Composed = compose("Composed", "All losses.", Loss, EdgeLoss)


def test_a_composed_group_has_the_flags_of_its_parts_and_is_each_of_them() -> None:
    group = Composed(lambda_edge=0.3)
    assert flat(group) == {"lambda_l1": 1.0, "lambda_edge": 0.3, "scales": (1, 2)}
    assert isinstance(group, Loss)
    assert isinstance(group, EdgeLoss)
    assert select(group, EdgeLoss) == EdgeLoss(lambda_edge=0.3)
    assert Composed.__doc__ == "All losses."


def test_one_flag_cannot_belong_to_two_parts() -> None:
    with pytest.raises(ValueError, match="--lambda_edge is a flag of both EdgeLoss and OtherEdgeLoss"):
        compose("Clash", "", EdgeLoss, OtherEdgeLoss)


def test_parts_may_share_a_flag_that_both_inherit() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Wide(Loss):
        width: int = 3

    @dataclass(frozen=True, kw_only=True)
    class Deep(Loss):
        depth: int = 4

    assert flat(compose("Both", "", Loss, Wide, Deep)()) == {"lambda_l1": 1.0, "width": 3, "depth": 4}


def test_flags_survive_json() -> None:
    run = Run(name="a", seed=3, data=Data(root=Path("x"), folder=Path("y")), loss=Loss(lambda_l1=2.0))
    assert plain(run) == {"name": "a", "seed": 3, "root": "x", "folder": "y", "lambda_l1": 2.0}
    assert build(Run, json.loads(json.dumps(plain(run)))) == run
    assert build(Composed, {"scales": [4, 5]}).scales == (4, 5)


def test_an_address_stays_text_where_a_path_would_lose_a_slash() -> None:
    assert build(Data, {"root": "s3://bucket/rooms"}).root == "s3://bucket/rooms"
    assert build(Data, {"root": "data/rooms"}).root == Path("data/rooms")


def test_flags_that_are_left_out_keep_their_defaults_and_required_ones_are_missed() -> None:
    assert build(Run, {"name": "a"}) == Run(name="a", data=Data(), loss=Loss())
    with pytest.raises(ConfigError, match="--name is missing"):
        build(Run, {"seed": 1})


def test_unknown_flags_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"--lamda_l1: there is no such flag here; did you mean lambda_l1\?"):
        build(Run, {"name": "a", "lamda_l1": 1})
    with pytest.raises(ConfigError, match="--lr"):
        replace(Run(name="a", data=Data(), loss=Loss()), lr=1)


def test_a_flag_is_replaced_in_whichever_group_it_is() -> None:
    run = Run(name="a", data=Data(), loss=Loss())
    changed = replace(run, lambda_l1=0.5, seed=9)
    assert (changed.loss.lambda_l1, changed.seed, changed.name) == (0.5, 9, "a")
    assert run.loss.lambda_l1 == 1.0


def test_types_of_flags_are_found_through_groups() -> None:
    assert flag_types(Run) == {
        "name": str,
        "seed": int,
        "root": Path | str | None,
        "folder": Path | None,
        "lambda_l1": float,
    }


def test_the_same_parts_give_the_same_class_and_other_groups_another() -> None:
    assert compose("Composed", "All losses.", Loss, EdgeLoss) is Composed
    composed = with_groups(Run, ("loss", Composed))
    assert composed is with_groups(Run, ("loss", Composed))
    assert build(composed, {"name": "a", "lambda_edge": 0.5}) == build(composed, {"name": "a", "lambda_edge": 0.5})
    assert isinstance(build(composed, {"name": "a"}).loss, EdgeLoss)


@dataclass(frozen=True)
class Files(PathsFromText):
    root: Path
    source: Path | str | None = None
    name: str = "a/b"
    files: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = (0,)


def test_a_config_takes_text_for_paths_and_lists_for_tuples() -> None:
    """An address lost one of its two slashes as a path, and a list made a config that could not be hashed."""
    files: list[Path | str] = ["c.wav", Path("d.wav")]
    given = Files("x", source="s3://bucket/rooms", files=files, seeds=[1, 2])  # type: ignore[arg-type]
    assert given == Files(Path("x"), "s3://bucket/rooms", "a/b", (Path("c.wav"), Path("d.wav")), (1, 2))
    assert hash(given) == hash(replace(given, root="x"))
    assert replace(given, root="y", source="rooms").source == Path("rooms")


def test_composed_and_inherited_configs_take_text_too() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Deep(PathsFromText):
        chirp: Path | None = None

    @dataclass(frozen=True, kw_only=True)
    class Deeper(Deep):
        scene: Path | None = None

    both = compose("Both", "", Deeper, Loss)(chirp="a.wav", scene="b")
    assert (both.chirp, both.scene) == (Path("a.wav"), Path("b"))


@pytest.mark.parametrize("given", ["~/rooms", Path("~/rooms")])
def test_a_tilde_is_the_home_folder(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--data_dir=~/rooms`` comes from the shell as it stands, and "~/rooms" did not exist."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Files(given, source=given, name="~/x") == Files(tmp_path / "rooms", tmp_path / "rooms", "~/x")
    assert build(Data, {"root": "~/rooms"}).root == tmp_path / "rooms"
