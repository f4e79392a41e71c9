"""What every command says to bad input: a sentence, and an exit status that is not 0."""

import runpy
import shlex
import sys
import warnings

import pytest
from conftest import ROOT

CASES = {
    "tinyaudio.py nowhere.wav": "nowhere.wav: no such file",
    "tinyaudio.py samples/1.wav --device abacus": "device abacus: cannot be used",
    "eval.py --data nowhere.jsonl": "nowhere.jsonl: no such manifest",
    "eval.py --compare nowhere.jsonl nowhere.jsonl": "nowhere.jsonl: no such file",
    "train.py --config nowhere.yaml": "nowhere.yaml: no such config file",
    "train.py --config configs/tiny.yaml --dry-run train.precision=fp8": "precision=fp8: expected",
    "publish.py --model nowhere --repo you/tiny": "holds no config.json",
    "pretrain.py hubert --data samples/manifest.jsonl --hubert-init models/tiny-qwen3":
        "models/tiny-qwen3: the weights do not fit",
    "hub/leaderboard.py --add nowhere --repo you/tiny": "nowhere/training.json",
    "benchmarks/train_step.py --device abacus": "device abacus: cannot be used",
    "benchmarks/train_step.py --batch-seconds 0": "0: expected seconds, more than 0",
    "benchmarks/train_memory.py --precision fp8": "precision=fp8: expected",
    "benchmarks/train_memory.py --batch-seconds 4 --seconds 10": "holds no utterance of 10.0",
    "benchmarks/kernels.py --batch-seconds -1": "expected seconds, more than 0",
    "benchmarks/ctc.py nowhere.jsonl": "nowhere.jsonl: no such manifest",
    "benchmarks/ctc.py samples/manifest.jsonl --limit 0": "0: expected a number from 1 on",
    "benchmarks/seeds.py --config nowhere.yaml": "nowhere.yaml: no such config file",
    "benchmarks/join.py samples/manifest.jsonl": "nothing to join",
    "benchmarks/my_voice.py --data samples/manifest.jsonl": "expected two speakers",
    "benchmarks/noise.py --noise nowhere.jsonl": "nowhere.jsonl: no such manifest",
    "benchmarks/digits.py --digits nowhere.jsonl": "nowhere.jsonl: no such manifest",
    "benchmarks/splice.py nowhere.jsonl": "nowhere.jsonl: no such manifest",
    "benchmarks/corpora.py an4 samples": "not laid out as an4 is published",
    "course/units.py --audio nowhere.wav": "nowhere.wav: no such file",
    "course/gap.py --data nowhere.jsonl": "nowhere.jsonl: no such manifest",
    "course/look.py nowhere.wav": "nowhere.wav: no such file",
    "course/run.py 7 nowhere.wav": "nowhere.wav: no such file",
    "course/shapes.py --stack 0": "0: expected a number from 1 on",
    "course/sweep.py train.seed 1 2 --config nowhere.yaml": "nowhere.yaml: no such config file",
}  # fmt: skip


@pytest.mark.parametrize("command", CASES)
def test_bad_input_is_a_sentence(command, monkeypatch, capsys):
    """In this process, so that each need not import torch anew; another exception fails."""
    script, *arguments = shlex.split(command)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # some set it
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code in (1, 2) and CASES[command] in capsys.readouterr().err
