"""Configs: every mistake is a sentence with its place, and every shipped file is valid."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT, run_script

import configs
from train import Config


def write(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_values_types_and_overrides(tmp_path):
    text = "model:\n  decoder_lora: {r: 4, targets: [q_proj]}\ntrain:\n  lr_lora: 1e-4\n"
    path = write(tmp_path, text)
    cfg = configs.read_config(Config, path, ["train.steps=1_000", "data.train=[a.jsonl, b.jsonl]",
                                             "train.lr_lora=0.5", "model.stack=3"])  # fmt: skip
    assert cfg.model.decoder_lora.r == 4 and cfg.model.decoder_lora.targets == ("q_proj",)
    assert cfg.model.decoder_lora.alpha == Config().model.decoder_lora.alpha
    assert cfg.train.steps == 1000 and cfg.train.lr_lora == 0.5 and cfg.model.stack == 3
    assert cfg.data.train == ("a.jsonl", "b.jsonl")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train:\n  lr_lroa: 1\n", r"train\.lr_lroa: .* did you mean train\.lr_lora\? .*line 2"),
        ("train:\n  steps: 1\n  lr_lora: abc\n", r"train\.lr_lora=abc: expected a float .*line 3"),
        ("train:\n  steps: 1.5\n", r"train\.steps=1\.5: expected an int .*line 2"),
        ("train: 3\n", r"train: expected a section"),
        ("a: [\n", r"not valid YAML"),
        ("train:\n  steps: [1, 2]\n", r"train\.steps=a list: expected an int"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        configs.read_config(Config, write(tmp_path, text))


def test_mistakes_on_the_command_line(tmp_path):
    path = write(tmp_path, "")
    mistakes = {"train.lrlora=1": "did you mean train.lr_lora", "x": "key.path=value"}
    for override, sentence in mistakes.items():
        with pytest.raises(ValueError, match=sentence):
            configs.read_config(Config, path, [override])
    done = run_script("train.py", "--config", path, "train.steps=many")
    assert done.returncode == 1
    assert done.stderr.strip() == "train.steps=many: expected an int (the command line)"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_config_reads(path: Path):
    configs.read_config(Config, path)


def test_help_lists_every_key():
    shown = run_script("train.py", "-h").stdout
    assert "train.lr_projector = 0.0001" in shown and "model.encoder_lora.r = 16" in shown


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "memory. Tried (in training, lower"),
        (RuntimeError("DataLoader worker (pid 3) is killed\nmore"), "is killed (it may have had"),
    ],
)
@pytest.mark.parametrize("rank", ["", "rank 1: "])
def test_a_lack_of_memory_is_a_sentence(error, sentence, rank, capsys, monkeypatch):
    def main():
        raise error

    if rank:
        monkeypatch.setenv("RANK", "1")
    assert configs.plain_errors(main)() == 1
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1 and said.startswith(rank)


def test_other_errors_keep_their_traceback():
    def main():
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="of ours"):
        configs.plain_errors(main)()
