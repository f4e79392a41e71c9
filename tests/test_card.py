"""What is published: that it is whole, what its card says, and what becomes of others' changes."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from hub.repository import build


@pytest.fixture
def model(tmp_path) -> Path:
    """A copy of the shipped model beside its encoder and decoder."""
    for name in ("tiny-audio", "tiny-hubert", "tiny-qwen3"):
        shutil.copytree(ROOT / "models" / name, tmp_path / name)
    return tmp_path / "tiny-audio"


def change(path: Path, **values) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def build_all(model: Path, space: bool = False) -> dict[str, Path]:
    return build(model.parent / "built", model, "you/tiny", "mit", space)


@pytest.mark.parametrize("bases", ["carried along", "on the Hub"])
@pytest.mark.parametrize(
    "file",
    ["projector.safetensors", "tokenizer.json", "encoder_lora", "decoder_lora/adapter_config.json",
     "decoder_lora/adapter_model.safetensors"],
)  # fmt: skip
@pytest.mark.parametrize("fate", ["missing", "cut short"])
def test_a_model_that_is_not_whole_is_not_published(model, bases, file, fate):
    """Fails if somebody would learn only from a user that weights are missing."""
    if bases == "on the Hub":
        change(model / "config.json", encoder="you/hubert", decoder="you/qwen3")
    path = model / file
    if path.is_dir():
        shutil.rmtree(path)
    elif fate == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"cannot be loaded as published: .*{model}") as caught:
        build_all(model)
    assert file.split("/")[0].split(".")[0] in str(caught.value)
    assert "built" not in str(caught.value)  # a folder that is gone by then
    assert not (model.parent / "built").exists()


def test_a_base_that_is_cut_short_is_not_published(model):
    """Fails if only the trained weights are read."""
    path = model.parent / "tiny-qwen3" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"decoder/model\.safetensors: cut short"):
        build_all(model)


@pytest.mark.parametrize("base", ["decoder", "../tiny-qwen", "/models/qwen3", "a/b/c"])
def test_a_base_that_is_nowhere_is_not_published(model, base):
    """Fails if a folder that is missing would stand on the card as a model of the Hub."""
    change(model / "config.json", decoder=base)
    with pytest.raises(ValueError, match=f"decoder is {base}, neither a folder nor an owner/name"):
        build_all(model)
