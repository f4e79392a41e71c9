"""Error rates against jiwer and by hand, the bootstrap interval, results files, the report."""

import io
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, requires, run_script

from data import Utterance, load_source
from eval import (
    align,
    bootstrap,
    cer,
    edit_distance,
    errors,
    evaluate,
    score,
    summarise,
    text_normaliser,
    wer,
    write_results,
)
from report import compare, evaluation_report, show_alignment
from tinyaudio import DEFAULT_MODEL

SAMPLES = ROOT / "samples"


def test_align_by_hand():
    ref = ["the", "cat", "sat", "on", "a", "wide", "mat"]
    hyp = ["a", "cat", "sat", "a", "wide", "big", "mat"]
    S, D, insertions, pairs = align(ref, hyp)
    assert (S, D, insertions) == (1, 1, 1)
    assert [r for r, _ in pairs if r] == ref and [h for _, h in pairs if h] == hyp
    assert pairs[0] == ("the", "a") and (None, "big") in pairs and ("on", None) in pairs


@pytest.mark.parametrize(
    ("ref", "hyp", "expected"),
    [("", "", (0, 0, 0)), ("a b", "", (0, 2, 0)), ("", "a b", (0, 0, 2)), ("a", "b", (1, 0, 0))],
)
def test_align_edges(ref, hyp, expected):
    assert align(ref.split(), hyp.split())[:3] == expected


def test_align_equals_jiwer_on_random_pairs():
    """10,000 pairs: the number of edits is the same, and our path adds up to it."""
    jiwer = requires("jiwer")
    rng = random.Random(0)
    refs, hyps = (
        [" ".join(rng.choices("abcdef", k=rng.randint(low, 12))) for _ in range(10_000)]
        for low in (1, 0)
    )
    edits = references = 0
    for ref, hyp in zip(refs, hyps, strict=True):
        ref, hyp = ref.split(), hyp.split()
        S, D, insertions, pairs = align(ref, hyp)
        assert [r for r, _ in pairs if r] == ref and [h for _, h in pairs if h] == hyp
        assert sum(r != h for r, h in pairs) == S + D + insertions
        expected = jiwer.process_words(" ".join(ref), " ".join(hyp))
        total = expected.substitutions + expected.deletions + expected.insertions
        assert S + D + insertions == total, (ref, hyp)
        edits, references = edits + total, references + len(ref)
    assert wer(refs, hyps) == pytest.approx(jiwer.wer(refs, hyps)) == edits / references
    assert cer(refs, hyps) == pytest.approx(jiwer.cer(refs, hyps))


def test_bootstrap_covers_the_rate():
    """Of 200 samples from a known error rate, the 95 % interval holds it in about 190."""
    rng, inside = random.Random(1), 0
    for seed in range(200):
        edits = [sum(rng.random() < 0.1 for _ in range(8)) for _ in range(100)]
        low, high = bootstrap(edits, [8] * 100, seed)
        inside += low <= 0.1 <= high
    assert 178 <= inside <= 199


def test_two_rates_where_the_normaliser_joins_digits():
    """Whisper's rule makes one number of a digit string: one error of one, not one of four."""
    result = score(Utterance("", "x.wav", "two nine eight one"), "two nine eight two", 1.0,
                   text_normaliser("whisper"))  # fmt: skip
    summary = summarise([result]) | {"normalizer": "whisper", "rtfx": 1.0, "beams": 1}
    assert (result["ref"], result["hyp"]) == ("2981", "2982")
    assert summary["wer"] == 1.0 and summary["raw_wer"] == 0.25
    assert "joins" in evaluation_report([result], summary)


def test_the_normaliser_sees_what_was_written(tmp_path):
    """Whisper's rule reads signs that ours drops: $20 is not 20, and 1,000 is one number."""
    written = "It costs $20, or 1,000 at 50% off: 3.5 each."
    row = json.dumps({"audio": "x.wav", "text": written})
    (tmp_path / "m.jsonl").write_text(row + "\n")
    (utterance,) = load_source(str(tmp_path / "m.jsonl"))
    said = "it costs twenty dollars or 1000 at fifty percent off 3.5 each"
    result = score(utterance, said, 1.0, text_normaliser("whisper"))
    assert result["reference"] == written and result["ref"] == result["hyp"]
    assert errors(result) == 0 and result["raw_errors"] > 0


def test_the_distance_is_what_align_counts():
    rng = random.Random(0)
    for units in ("ab c", ["a", "b ", "", "abc"]):
        for _ in range(500):
            ref, hyp = (rng.choices(units, k=rng.randrange(9)) for _ in range(2))
            assert edit_distance(ref, hyp) == sum(align(ref, hyp)[:3]), (ref, hyp)
    assert cer(["a" * 20_000], ["a" * 19_990 + "b" * 10]) == 10 / 20_000  # no table of all pairs


def test_recordings_without_words_are_counted_apart():
    """Words on noise are insertions in the WER, and told apart as hallucinated."""
    normalise = text_normaliser("none")
    said = [("one two", "one two"), ("", ""), ("", "hello there"), ("", "")]
    results = [score(Utterance("", "x.wav", ref), hyp, 1.0, normalise) for ref, hyp in said]
    summary = summarise(results) | {"normalizer": "none", "rtfx": 1.0, "beams": 1}
    assert (summary["silent"], summary["hallucinated"], summary["wer"]) == (3, 1, 1.0)
    assert "3 recordings without words: something written on 1 (33.3%)" in evaluation_report(
        results, summary
    )
    only_noise = summarise(results[1:]) | {"normalizer": "none", "rtfx": 1.0, "beams": 1}
    report = evaluation_report(results[1:], only_noise | {"raw_wer": 0.5})
    assert "WER" not in report and "differ" not in report
    json.dumps(only_noise, allow_nan=False)  # NaN would be no JSON
    # A hesitation is a word, though Whisper's rule leaves none of it.
    uh = score(Utterance("", "x.wav", "uh"), "a", 1.0, text_normaliser("whisper"))
    assert uh["ref"] == "" and summarise([uh])["silent"] == 0


def test_results_and_comparison(tmp_path):
    """A perfect file against one with errors: the difference is certain; the files say why."""
    normalise = text_normaliser("none")
    texts = [f"turn on light {name}" for name in "abcdefgh"]
    for name, wrong in (("a", "turn off light"), ("b", None)):
        results = [score(Utterance("", f"{text}.wav", text), wrong or text, 1.0, normalise)
                   for text in texts]  # fmt: skip
        write_results(tmp_path / name, results, summarise(results))
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["wer"] == 0.5 and summary["substitutions"] == summary["deletions"] == 8
    assert {"wer_low", "wer_high", "cer", "raw_wer", "insertions", "words", "utterances",
            "audio_seconds"} <= summary.keys()  # fmt: skip
    files = [str(tmp_path / name / "results.jsonl") for name in "ab"]
    assert "B is better in 100.0%" in compare(*files)
    for name, how in (("a", ("none", 1)), ("b", ("none", 4))):
        found = summary | dict(zip(("normalizer", "beams"), how, strict=True))
        (tmp_path / name / "summary.json").write_text(json.dumps(found))
    assert f"  greedy  {files[0]}" in compare(*files) and f"  beam 4  {files[1]}" in compare(*files)
    (tmp_path / "b" / "summary.json").write_text(json.dumps(found | {"ctc": True}))
    assert f"  beam 4 with CTC  {files[1]}" in compare(*files)
    (tmp_path / "b" / "summary.json").write_text(json.dumps(summary | {"normalizer": "whisper"}))
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(*files)
    for name, wrong in (("c", "no"), ("d", "yeah")):  # two cuts of one file that say the same
        rows = [score(Utterance("", "x.wav", "yeah", offset=at), text, 1.0, normalise)
                for at, text in ((0.0, wrong), (9.0, "yeah"))]  # fmt: skip
        write_results(tmp_path / name, rows, summarise(rows))
    assert "A 50.00%" in compare(*(str(tmp_path / name / "results.jsonl") for name in "cd"))
    (tmp_path / "b" / "summary.json").unlink()
    lines = Path(files[1]).read_text().splitlines(keepends=True)
    for text, what in (("".join(lines[1:]), "different utterances"), ("", "expected results"),
                       ("# A page\n", "expected results"), ("{}\n", "as eval.py")):  # fmt: skip
        Path(files[1]).write_text(text)
        with pytest.raises(ValueError, match=what):
            compare(*files)


def test_a_part_of_the_test_set_is_not_the_models_result(tmp_path):
    """Fails if eval.py --limit 2, or another test set, replaces what publish.py shows."""
    model = Path(shutil.copytree(DEFAULT_MODEL, tmp_path / "models" / "mine"))
    for name in ("tiny-hubert", "tiny-qwen3"):
        (tmp_path / "models" / name).symlink_to(DEFAULT_MODEL.parent / name)
    training = json.loads((model / "training.json").read_text())
    training["config"]["data"]["test"] = [str(SAMPLES / "manifest.jsonl")]
    (model / "training.json").write_text(json.dumps(training))
    before = (model / "summary.json").read_bytes()

    def written(*options) -> str:
        done = run_script("eval.py", "--model", model, *options, cwd=tmp_path)
        return done.stdout.strip().splitlines()[-1]

    test = ("--data", SAMPLES / "manifest.jsonl")
    assert written(*test, "--limit", 2).startswith("runs/eval/results.jsonl")
    assert (model / "summary.json").read_bytes() == before
    assert json.loads((tmp_path / "runs" / "eval" / "summary.json").read_text())["limit"] == 2
    assert written(*test).startswith(f"{model}/results.jsonl")
    assert json.loads((model / "summary.json").read_text())["utterances"] == 5


def test_alignment_is_shown_word_under_word():
    assert show_alignment("turn on the light", "turn the lights") == [
        "    REF turn on  the light",
        "    HYP turn *** the LIGHTS",
    ]


def test_utterances_of_like_length_are_transcribed_together():
    """Of known length, or encoded in memory as parquet files hold them: a long one keeps no short
    ones waiting."""

    class Recorder:
        def transcribe(self, audio, beams):
            groups.append([len(waveform) for waveform in audio])
            return [""] * len(audio)

    rng, groups, known, encoded = random.Random(0), [], [], []
    for i in range(70):
        seconds, file = rng.uniform(0.1, 2.0), io.BytesIO()
        soundfile.write(file, np.zeros(int(seconds * 16_000)), 16_000, format="WAV")
        known.append(Utterance(str(i), file.getvalue(), "yes", duration=seconds))
        encoded.append(replace(known[-1], duration=None))
    for utterances in (known, encoded):
        groups.clear()
        evaluate(Recorder(), utterances, "none")
        lengths = [length for group in groups for length in group]
        assert len(groups) == 2 and len(lengths) == 70 and lengths == sorted(lengths)


def test_script_scores_a_manifest(tmp_path, tiny_audio):
    manifest = tmp_path / "two.jsonl"
    rows = [{"audio": "missing.wav", "text": "a"}, {"audio": str(tiny_audio), "text": "hello you"}]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run_script("eval.py", "--data", manifest, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out 1 utterances" in done.stderr and "WER" in done.stdout
    assert json.loads((tmp_path / "summary.json").read_text())["utterances"] == 1
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere.jsonl"], "nowhere.jsonl: no such manifest"),
        (["--data", "espeak:weird:3"], "expected espeak:[GRAMMAR:]SPLIT:COUNT"),
        (["--model", "./nowhere", "--data", ROOT / "samples" / "manifest.jsonl"], "no such folder"),
    ],
)
def test_script_says_what_is_wrong(arguments, sentence):
    done = run_script("eval.py", *arguments)
    assert done.returncode == 1 and sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
