"""The commands that print figures run, and print what they say they measure."""

import json
import random
import re

import pytest
import soundfile
import torch
from conftest import ROOT, requires, run_script
from test_train import write_config

from benchmarks.digits import write_strings
from benchmarks.runs import run_training
from data import load_source, pad


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Two speakers, each with three digits of known length, far from zero everywhere."""
    folder, rows = tmp_path_factory.mktemp("digits"), []
    for s, speaker in enumerate(("ann", "bob")):
        for i, text in enumerate(("one", "two", "six")):
            wave = 0.5 + 0.01 * torch.randn(1600 * (i + 1 + 3 * s))
            soundfile.write(folder / f"{speaker}{i}.wav", wave.numpy(), 16_000)
            rows.append({"audio": f"{speaker}{i}.wav", "text": text, "speaker": speaker})
    manifest = folder / "digits.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def test_a_run_that_fails_says_why(corpus, tmp_path, monkeypatch):
    """Fails if the last thing it says is its progress bar."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with pytest.raises(ValueError, match=r"the last checkpoint holds$"):
        run_training(str(write_config(tmp_path, corpus)), "train.lr_lora=1e30",
                     "train.lr_projector=1e30", "train.max_bad_steps=1")  # fmt: skip


def test_strings_hold_their_digits_of_one_speaker(digits, tmp_path):
    singles = load_source(str(digits))
    strings = load_source(str(write_strings(singles, 60, tmp_path)))
    samples = {(u.speaker, u.text): len(u.waveform()) for u in singles}
    assert {len(u.text.split()) for u in strings} == set(range(1, 8))
    for u in strings:
        waveform, words = u.waveform(), u.text.split()
        spoken = (waveform > 0.25).sum().item()
        assert spoken == sum(samples[u.speaker, word] for word in words)
        silence = (len(waveform) - spoken) / 16_000
        assert 0.09 + 0.04 * len(words) <= silence <= 0.51 + 0.41 * len(words)
    assert {u.speaker for u in strings} == {"ann", "bob"}


def test_join_keeps_to_one_voice_and_to_the_length_asked_for(digits, tmp_path):
    done = run_script("benchmarks/join.py", digits, "--count", 20, "--size", 2, 9, "--seconds", 3,
                      "--out", tmp_path / "joined")  # fmt: skip
    assert done.returncode == 0, done.stderr
    joined = load_source(done.stdout.strip())
    assert [u.speaker for u in joined] == ["ann", "bob"] * 10
    sizes = {len(u.text.split()) for u in joined}
    assert len(sizes) > 2 and max(u.duration for u in joined) <= 3


def test_what_cannot_be_joined_is_a_sentence(digits, tmp_path):
    rows, manifest, out = digits.read_text().splitlines(), tmp_path / "some.jsonl", tmp_path / "out"
    for text in (rows[0], "\n".join(rows).replace("ann", "").replace("bob", "")):
        manifest.write_text(text + "\n")
        done = run_script("benchmarks/join.py", manifest, "--out", out)
        assert done.returncode == 1 and "nothing to join" in done.stderr
    done = run_script("benchmarks/join.py", digits, "--size", 4, 2, "--out", out)
    assert done.returncode == 2 and "--size 4 2: expected the fewest" in done.stderr
    assert not out.exists()


def test_digits_leaves_each_speaker_out(digits, corpus, tmp_path):
    base = write_config(tmp_path, corpus, steps=2)
    model = tmp_path / "run"
    assert run_script("train.py", "--config", base).returncode == 0
    done = run_script("benchmarks/digits.py", "--digits", digits, "--model", model, "--strings", 3,
                      "--adapt", base, "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (ann|bob|mean) \| [\d.]+% \| [\d.]+% \|", done.stdout, re.M)
    assert rows == ["ann", "bob", "mean"]
    for speaker in ("ann", "bob"):
        heard = {
            split: {u.speaker for u in load_source(str(manifest))}
            for split in ("train", "dev", "test")
            for manifest in [tmp_path / "out" / f"{speaker}-{split}" / "manifest.jsonl"]
        }
        assert heard["test"] == {speaker} and speaker not in heard["train"] | heard["dev"]


def test_my_voice_learns_from_some_and_scores_the_rest(digits, corpus, tmp_path):
    base = write_config(tmp_path, corpus, steps=2)
    assert run_script("train.py", "--config", base).returncode == 0
    done = run_script("benchmarks/my_voice.py", "--data", digits, "--model", tmp_path / "run",
                      "--adapt", base, "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\| (ann|bob|mean) \|", done.stdout, re.M) == ["ann", "bob", "mean"]
    files = {p.stem: {u.audio for u in load_source(str(p))} for p in tmp_path.glob("out/*.jsonl")}
    for speaker, other in (("ann", "bob"), ("bob", "ann")):
        own = files[f"{speaker}-train"] | files[f"{speaker}-test"]
        assert len(files[f"{speaker}-train"]) == 2 and len(files[f"{speaker}-test"]) == 1
        assert not own & files[f"{speaker}-others"]
        assert own == files[f"{other}-others"]
    done = run_script("benchmarks/my_voice.py", "--data", digits, "--model", tmp_path / "run",
                      "--strings", 2, "--adapt", base, "--out", tmp_path / "strings")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\| (ann|bob) \| 2 \|", done.stdout, re.M) == ["ann", "bob"]
    for name, count in (("train", 2), ("test", 50), ("others", 100)):
        said = load_source(str(tmp_path / "strings" / f"ann-{name}" / "manifest.jsonl"))
        assert len(said) == count
        assert {u.speaker for u in said} == {"bob" if name == "others" else "ann"}


def test_seeds_trains_each_and_gives_the_spread(corpus, tmp_path):
    done = run_script("benchmarks/seeds.py", "--config", write_config(tmp_path, corpus), "--seeds",
                      2, "--ctc", "--out", tmp_path / "out", "train.steps=2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| seed | greedy | beam 10 | beam 10 with CTC | minutes |" in done.stdout
    rows = re.findall(r"^\| (0|1|mean|standard deviation) \|", done.stdout, re.M)
    assert rows == ["0", "1", "mean", "standard deviation"]
    seeds = [json.loads((tmp_path / "out" / name / "training.json").read_text()) for name in "01"]
    assert [training["config"]["train"]["seed"] for training in seeds] == [0, 1]


def test_ctc_scores_the_encoder_alone():
    done = run_script("benchmarks/ctc.py", ROOT / "samples" / "manifest.jsonl")
    assert done.returncode == 0, done.stderr
    rates = re.search(r"5 utterances, WER ([\d.]+)%, CER ([\d.]+)%", done.stdout)
    assert float(rates[2]) <= float(rates[1]) < 30


def test_a_failing_run_is_one_sentence(corpus, tmp_path):
    done = run_script("benchmarks/seeds.py", "--config", write_config(tmp_path, corpus),
                      "data.train=nowhere.jsonl")  # fmt: skip
    assert done.returncode == 1 and "nowhere.jsonl: no such manifest" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_two_training_steps_compute_the_same():
    """Fails if the benchmark compares two models, or two losses."""
    requires("transformers")
    requires("peft")
    from benchmarks.train_step import Usual, build, draw_utterances

    ours = build("small", "cpu", torch.float32)
    usual = Usual(ours, "small", "cpu", torch.float32)
    drawn = draw_utterances(20, 32_000, random.Random(0))
    # One: the usual way leaves what stands behind a short utterance's end in its last audio token.
    chosen = [u for u, seconds in drawn if 5 < seconds < 9][:1]
    batch = pad([u.waveform() for u in chosen], [u.text for u in chosen])
    (mine, count), (theirs, same) = ours(batch), usual(batch)
    assert count == same > 10
    assert mine.item() == pytest.approx(theirs.item(), rel=1e-4)


def test_train_step_prints_both_and_their_ratio():
    requires("transformers")
    requires("peft")
    done = run_script("benchmarks/train_step.py", "--steps", 1, "--batch-seconds", 5)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^\| (ours|usual) \| [\d.]+ \|", done.stdout, re.M) == ["ours", "usual"]
    assert re.search(r"^ours / usual: [\d.]+x$", done.stdout, re.M)


def test_train_step_alone_needs_no_oracle():
    done = run_script("benchmarks/train_step.py", "--steps", 1, "--turns", 1, "--batch-seconds", 5,
                      "--alone")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| ours |" in done.stdout and "usual" not in done.stdout


def test_our_layers_launch_fewer_kernels_and_move_fewer_bytes():
    """Fails if a layer of ours is computed in float32 again, or a fused kernel is lost."""
    requires("transformers")
    requires("peft")
    done = run_script("benchmarks/kernels.py")
    assert done.returncode == 0, done.stderr
    kernels, moved = map(float, re.findall(r"([\d.]+) of the", done.stdout))
    assert 0.3 < kernels < 0.65 and 0.3 < moved < 0.5, done.stdout


@pytest.mark.parametrize("options", [[], ["--recompute"]])
@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_the_planned_memory_is_what_a_step_takes(name, options):
    """Within 10 %, of what PyTorch allocates on the CPU."""
    done = run_script("benchmarks/train_memory.py", "--batch-seconds", 60, "--precision", name,
                      *options)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (share,) = re.findall(r"([\d.]+) of it$", done.stdout, re.M)
    assert 0.9 < float(share) < 1.1, done.stdout
