"""The scripts of classes 3 and 4 run, and print what they say they measure."""

import json
import re

import pytest
from conftest import ROOT, run_module
from test_train import write_config

from course.sweep import run_value


def test_gap_finds_audio_as_far_away_as_random_and_trained_audio_nearer(tmp_path):
    done = run_module("course.gap", "--picture", tmp_path / "gap.png")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\w+).* (\d+) +([\d.]+) +([\d.]+) +-?[\d.]+$", done.stdout, re.M)
    random, before, after, text, _ = ([float(figure) for figure in row[2:]] for row in rows)
    assert [row[0] for row in rows] == ["random", "audio", "audio", "text", "of"]
    assert before[0] == pytest.approx(random[0], rel=0.03)  # scale_to has set it
    assert before[1] == pytest.approx(random[1], abs=0.04)
    assert after[1] > 1.5 * random[1] and text[1] > 1.5 * random[1]
    assert (tmp_path / "gap.png").stat().st_size > 10_000


def test_shapes_counts_what_the_readme_says(tmp_path):
    done = run_module("course.shapes", "--stack", 5, "--hidden", 8192, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "README.md").read_text()
    (peak,) = re.findall(r"in all +([\d.]+) GB\n", page)
    (hours,) = re.findall(r"TFLOP/s: ([\d.]+) h, ", page)
    cost = f"{hours} h +{float(peak):.1f} GB"
    large = "qwen3-8b +8,190,735,360 +622,329,856 +147,456 +589,824"
    assert re.search(f"{large} +{cost}", done.stdout)
    assert re.search(f"5 +8192 +138,422,528 +10.0 +{cost}", done.stdout)
    assert (tmp_path / "runs" / "shapes" / "qwen3-1.7b" / "config.json").exists()


def test_sweep_trains_with_each_value(corpus, tmp_path):
    config, out = write_config(tmp_path, corpus), tmp_path / "out"
    done = run_module("course.sweep", "model.decoder_lora", "{r: 0}", "{r: 2}", "train.steps=2",
                      "--config", config, "--out", out)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| \{r: (\d)\} \| [\d.]+% \| [\d.]+ \| [\d.]+% \| ([\d,]+) \| [\d.]+ \|$",
                      done.stdout, re.M)  # fmt: skip
    trained = [int(row[1].replace(",", "")) for row in rows]
    assert [row[0] for row in rows] == ["0", "2"] and trained[0] < trained[1]
    assert (out / "curves.png").exists()
    for number in "01":
        data = json.loads((out / number / "training.json").read_text())["config"]["data"]
        assert data["test"] == data["dev"]


def test_sweep_tells_a_wrong_value_before_it_trains(corpus, tmp_path):
    config, out = write_config(tmp_path, corpus), tmp_path / "out"
    done = run_module(
        "course.sweep", "train.lr_lora", "1e-3", "much", "--config", config, "--out", out
    )
    assert done.returncode == 1 and "train.lr_lora=much: expected a float" in done.stderr
    assert not out.exists()


def test_sweep_goes_on_after_a_run_that_fails(corpus, tmp_path):
    settings = ["data.train=nowhere.jsonl"]
    row, curve = run_value(str(write_config(tmp_path, corpus)), settings, tmp_path / "out")
    assert row.startswith("stopped: no such manifest") and not curve
