"""Teachers of Hugging Face that anyone may have written: their settings are data."""

import json
from pathlib import Path
from typing import Any

import pytest

from echodepth.core.errors import ConfigError, EchodepthError
from echodepth.distillation.teachers.huggingface import Preprocessing
from echodepth.distillation.teachers.loading import load_teacher
from tests.tiny import PREPROCESSOR, save_tiny_hf


@pytest.mark.parametrize("model_type", ["their_own", "dpt"])
def test_code_that_comes_with_a_model_is_never_run(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers asked "Do you wish to run the custom code? [y/N]" in the middle of ``train distill``."""
    folder = save_tiny_hf(Path("tiny"))
    (folder / "code.py").write_text(
        "import pathlib\npathlib.Path('ran').touch()\nclass Config: ...\nclass Model: ...\n"
    )
    code = {"AutoConfig": "code.Config", "AutoModelForDepthEstimation": "code.Model"}
    config = json.loads((folder / "config.json").read_text()) | {"model_type": model_type, "auto_map": code}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    with pytest.raises(EchodepthError) as refused:
        load_teacher("hf:tiny")
    assert model_type == "dpt" or "code that comes with a model is never run" in str(refused.value)
    assert not Path("ran").exists()


def test_a_teacher_fetches_no_other_model() -> None:
    folder = save_tiny_hf(Path("tiny"))
    config = json.loads((folder / "config.json").read_text()) | {"backbone": "org/name", "backbone_config": None}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="--teacher fetches its backbone 'org/name' from another repository"):
        load_teacher("hf:tiny")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone_config": {"backbone": "org/name"}}, "fetches its backbone 'org/name' from another repository"),
        ({"attn_implementation": "org/kernel"}, "asks for attn_implementation 'org/kernel', which runs code"),
        ({"_attn_implementation": "org/kernel"}, "asks for _attn_implementation 'org/kernel', which runs code"),
        ({"backbone_config": {"attn_implementation": "org/kernel"}}, "asks for attn_implementation 'org/kernel'"),
        ({"quantization_config": {"quant_method": "gptq"}}, "asks for quantization_config .*, which runs code"),
        ({"backbone_config": {"num_hidden_layers": 10**6}}, "has 1000000 layers: at most 200"),
        (
            {"backbone_config": {"mlp_ratio": 10**6}},
            "weights by its config.json, and fewer bytes in",
        ),
        ({"backbone_config": {"hidden_size": 10**6}}, "weights by its config.json, and fewer bytes in"),
        ({"fusion_hidden_size": 10**6}, "weights by its config.json, and fewer bytes in"),
        ({"backbone_config": {"model_type": "timm_backbone"}}, "cannot be loaded: "),
        ({"dtype": "os.system"}, "cannot be loaded: "),
    ],
    ids=str,
)
def test_settings_of_a_teacher_run_and_fetch_nothing(settings: dict[str, Any], message: str) -> None:
    """transformers downloads and runs an attention kernel of any name, whatever ``trust_remote_code`` says."""
    folder = save_tiny_hf(Path("tiny"))
    config = json.loads((folder / "config.json").read_text())
    backbone = config["backbone_config"] | settings.get("backbone_config", {})
    (folder / "config.json").write_text(json.dumps({**config, **settings, "backbone_config": backbone}))
    with pytest.raises(EchodepthError, match=f"--teacher .*{message}") as refused:
        load_teacher("hf:tiny")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        *({"size": {"height": 10**6, "width": 518}}, {"size": 10**30}, {"ensure_multiple_of": 10**5}, {"size": "os"}),
        *({"image_std": [0.2, 0.0, 0.2]}, {"image_mean": [0.5] * 4}, {"rescale_factor": float("nan")}),
    ],
    ids=str,
)
def test_preprocessing_has_bounds(settings: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Preprocessing.read({**PREPROCESSOR, **settings})
    assert Preprocessing.read(PREPROCESSOR).multiple == 14
