"""The course's scripts compute what they say, and each runs at a tiny size."""

import json
import re
import shlex
from dataclasses import asdict

import pytest
import torch
from conftest import ROOT, run_module, run_script

from audio import load_audio
from configs import read_config
from course import broken
from course.clusters import Clusters, Task, k_means, without_learning
from course.letters import first_frames, separation
from course.units import MaskedPredictor
from data import pad
from pretrain import ALPHABET
from train import Config


def printed_by(name: str, *arguments) -> str:
    done = run_module(name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_k_means_finds_clusters_that_lie_apart_and_orders_them():
    torch.manual_seed(0)
    places = torch.tensor([[20.0, 0], [0, 20], [-20, 5]])
    frames = places.repeat(100, 1) + torch.randn(300, 2)
    for _ in range(3):  # from whichever frames it starts; two in one cluster may stay there
        found = k_means(frames, 3)
        assert (found[:, 0].diff() >= 0).all()
    best = min(
        (k_means(frames, 3) for _ in range(10)), key=lambda c: torch.cdist(frames, c).amin(1).sum()
    )
    torch.testing.assert_close(best, places.flip(0), atol=0.5, rtol=0)


def test_a_task_hides_valid_frames_in_spans_and_leaves_the_others():
    torch.manual_seed(0)
    model = MaskedPredictor(units=8)
    clusters = Clusters(model.hubert)
    batch = pad([load_audio(f"{ROOT}/samples/{n}.wav") for n in (1, 2)], ["", ""])
    counts = clusters.fit([batch], 8)
    frames = model.hubert.frame_length(batch.lengths)
    assert counts.sum() == frames.sum()
    task = clusters.task(batch)
    assert not (task.hidden & task.visible).any()
    assert torch.equal((task.hidden | task.visible).sum(1), frames)
    assert 0.3 < task.hidden.sum() / frames.sum() < 0.8  # 57 % on average
    assert model(task).shape == (*task.units.shape, 8)
    # A unit belongs to its frame: alone, the second recording has the same.
    alone = clusters.task(pad([batch.waveforms[1, : batch.lengths[1]]], [""]))
    assert torch.equal(alone.units[0, : frames[1]], task.units[1, : frames[1]])


def test_guesses_without_learning():
    units = torch.tensor([[3, 3, 1, 2, 2, 2, 0, 0]])
    hidden = torch.tensor([[0, 0, 1, 1, 1, 0, 0, 0]]).bool()
    padding = torch.tensor([[0, 0, 0, 0, 0, 0, 0, 1]]).bool()
    task = Task(torch.zeros(1, 0), torch.zeros(1), units, hidden, ~hidden & ~padding)
    guesses = without_learning(task)
    assert guesses["distance"][hidden].tolist() == [1, 2, 1]
    copied = guesses["copied"][hidden].tolist()
    assert (copied[0], copied[2]) == (3, 2) and copied[1] in (3, 2)
    assert (guesses["frequent"] == 3).all()  # twice visible; the second 0 is padding


def test_separation_is_1_where_letters_lie_apart_and_chance_where_not():
    torch.manual_seed(0)
    letters = torch.tensor([ALPHABET.index(k) for k in "ETAO"]).repeat(200)
    utterances = torch.arange(800) // 40
    places = torch.eye(32)[letters] * 10
    assert separation(places + torch.randn(800, 32), letters, utterances) > 0.99
    assert separation(torch.randn(800, 32), letters, utterances) == pytest.approx(0.25, abs=0.1)


def test_letters_begin_where_they_change():
    assert first_frames(torch.tensor([5, 5, 0, 5, 6, 6, 0]), but=(0,)) == [0, 3, 4]


def test_units_learns_and_draws(corpus, tmp_path):
    printed = printed_by(
        "course.units", "--data", corpus, "--dev", corpus, "--units", 4, "--steps", 2,
        "--out", tmp_path,
    )  # fmt: skip
    assert "step     2" in printed and "always the most frequent of 4 units" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"units.png", "masked.png"}


def test_look_draws(tmp_path):
    manifest = ROOT / "samples" / "manifest.jsonl"
    printed = printed_by("course.look", "--data", manifest, "--out", tmp_path)
    assert "layer 4" in printed
    pictures = {"windows.png", "frames.png", "similarity.png", "letters.png"}
    assert {path.name for path in tmp_path.iterdir()} == pictures
    assert all(path.stat().st_size < 150_000 for path in tmp_path.iterdir())


def test_encoders_are_counted_as_the_published_ones_are():
    rows = {line.split()[0]: line.split() for line in printed_by("course.encoders").splitlines()}
    assert rows["hubert-base"][3] == "94,370,816"  # 94.4 M: base, less its mask embedding
    assert rows["hubert-xlarge"][3:5] == ["962,496,000", "3,932,160"]


REPAIRS = re.findall(
    r"^python -m course\.broken (\d) (\S.*)$",
    (ROOT / "course" / "5-evaluation-and-debugging.md").read_text(encoding="utf-8"), re.M,
)  # fmt: skip


def flat(values: dict, prefix: str = "") -> dict:
    """A config's keys as they are written on a command line."""
    keys = {}
    for key, value in values.items():
        keys |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return keys


def test_class_5_repairs_each_broken_run():
    told = [number for number, setting in REPAIRS if setting != "KEY=VALUE"]
    assert told == sorted(broken.CONFIGS) == ["1", "2", "3"]


@pytest.mark.parametrize("number, setting", [r for r in REPAIRS if r[1] != "KEY=VALUE"])
def test_a_broken_run_is_a_valid_config_and_its_repair_one_key(number, setting):
    path, [setting] = broken.CONFIGS[number], shlex.split(setting)
    before, after = (flat(asdict(read_config(Config, path, s))) for s in ([], [setting]))
    assert [key for key in before if before[key] != after[key]] == [setting.partition("=")[0]]
    done = run_script("train.py", "--config", path, "--dry-run", setting)
    assert done.returncode == 0 and "200 steps" in done.stdout, done.stderr


def test_a_broken_run_is_drawn(tmp_path):
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "dev_loss": 1.5, "dev_wer": 1.1}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "summary.json").write_text(json.dumps({"raw_wer": 0.5}))
    broken.draw(tmp_path, tmp_path / "curves.png")
    assert 5_000 < (tmp_path / "curves.png").stat().st_size < 150_000
