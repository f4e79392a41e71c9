"""Downloads as their makers lay them out become manifests with the splits that were promised."""

import csv
import json

import pytest
import soundfile
import torch
from conftest import ROOT, run_script

from benchmarks.corpora import pieces, split_of
from data import load_source, normalise_text


def record(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, torch.randn(8000).numpy() * 0.1, 16_000, **options)


def an4(folder):
    (folder / "etc").mkdir(parents=True)
    rows = {"train": ["<s> ENTER SIX </s> (an251-fash-b)", "<s> Y E S </s> (cen1-mblw-b)"],
            "test": ["RUBOUT T (an391-mjwl-b)"]}  # fmt: skip
    for split, lines in rows.items():
        (folder / "etc" / f"an4_{split}.transcription").write_text("\n".join(lines) + "\n")
    sphere = {"format": "NIST", "subtype": "PCM_16"}
    for place in ("an4_clstk/fash/an251-fash-b", "an4_clstk/mblw/cen1-mblw-b"):
        record(folder / "wav" / f"{place}.sph", **sphere)
    record(folder / "wav" / "an4test_clstk/mjwl/an391-mjwl-b.sph", **sphere)
    return {"enter six": "fash", "y e s": "mblw", "rubout t": "mjwl"}


def speechocean762(folder):
    for split, key, text in (("train", "001", "WE CALL IT"), ("test", "002", "BEAR")):
        record(folder / "WAVE" / f"{key}.WAV", format="WAV")
        (folder / split).mkdir()
        tables = {"text": f"{key}\t{text}", "wav.scp": f"{key}\tWAVE/{key}.WAV",
                  "utt2spk": f"{key}\tS{key}", "spk2age": f"S{key}\t6"}  # fmt: skip
        for name, line in tables.items():
            (folder / split / name).write_text(line + "\n")
    return {"we call it": "S001", "bear": "S002"}


def kathleen(folder):
    record(folder / "data" / "arctic_a0366_1592708614.wav")
    (folder / "data" / "arctic_a0366_1592708614.txt").write_text("A wild, exciting time.\n")
    return {"a wild exciting time": "kathleen"}


def fsdd(folder):
    record(folder / "recordings" / "7_jackson_32.wav")
    return {"seven": "jackson"}


def noise(folder):
    (folder / "meta").mkdir()
    rows = [("1-1-A-0.wav", 1, "dog", "True"), ("5-2-A-9.wav", 5, "rain", "True"),
            ("2-3-A-7.wav", 2, "laughing", "False")]  # fmt: skip
    with (folder / "meta" / "esc50.csv").open("w") as file:
        csv.writer(file).writerows([("filename", "fold", "category", "esc10"), *rows])
    for name, *_ in rows:
        record(folder / "audio" / name)
    return {"": ""}


@pytest.mark.parametrize("lay_out", [an4, speechocean762, kathleen, fsdd, noise])
def test_a_download_becomes_manifests(lay_out, tmp_path):
    download, corpus = tmp_path / "a download", lay_out.__name__
    download.mkdir()
    expected = lay_out(download)
    done = run_script("benchmarks/corpora.py", corpus, download, "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    manifests = sorted((tmp_path / "data" / corpus).glob("*.jsonl"))
    utterances = [u for manifest in manifests for u in load_source(str(manifest))]
    assert {normalise_text(u.text): u.speaker for u in utterances} == expected
    assert all(len(u.waveform()) == 8000 and u.duration == 0.5 for u in utterances)
    splits = {manifest.stem for manifest in manifests}
    if corpus == "an4":  # what is test's stays test's
        assert splits == {"train", "test"}
    if corpus == "noise":
        assert splits == {"train", "test", "train-pieces", "test-pieces"}
    if corpus == "speechocean762":
        assert splits == {"train", "test-children"}
    again = run_script("benchmarks/corpora.py", corpus, tmp_path / "data" / corpus,
                       "--out", tmp_path / "again")  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert sorted(p.name for p in (tmp_path / "again" / corpus).glob("*")) == [
        manifest.name for manifest in manifests
    ]


def test_pieces_are_of_all_lengths_from_all_places():
    rows = [{"audio": f"{n}.wav", "duration": seconds} for n, seconds in enumerate((5.0, 1.2))]
    drawn = pieces(rows, copies=200)
    for row in rows:
        own = [d for d in drawn if d["audio"] == row["audio"]]
        lengths = [d["duration"] for d in own]
        assert len(own) == 200 and min(lengths) < 0.7 < max(lengths)
        assert max(lengths) == pytest.approx(min(4.0, row["duration"]), abs=0.1)
        assert all(0 <= d["offset"] <= row["duration"] - d["duration"] + 0.006 for d in own)
        assert len({d["offset"] for d in own}) > 20
    assert pieces(rows) == pieces(rows)


def test_speakers_stay_together_and_test_sets_stay():
    rows = [{"speaker": f"speaker{i // 3}", "split": "train"} for i in range(300)]
    splits = {}
    for row in rows:
        splits.setdefault(row["speaker"], set()).add(split_of("an4", row))
    assert all(len(found) == 1 for found in splits.values())
    assert 2 <= sum(found == {"dev"} for found in splits.values()) <= 20
    assert {split_of("an4", row | {"split": "test"}) for row in rows} == {"test"}


@pytest.mark.parametrize(
    ("corpus", "sentence"),
    [("an4", "not laid out as an4 is published"), ("fsdd", "holds no recordings of fsdd")],
)
def test_another_folder_is_one_sentence(corpus, sentence, tmp_path):
    done = run_script("benchmarks/corpora.py", corpus, tmp_path, "--out", tmp_path / "data")
    assert done.returncode == 1 and sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "data").exists()


@pytest.mark.skipif(not (ROOT.parent / "shared" / "speech").is_dir(), reason="no real recordings")
def test_the_real_an4(tmp_path):
    """130 utterances of test, 773 words; its ten speakers and dev's are nobody else's."""
    source = ROOT.parent / "shared" / "speech" / "an4"
    assert run_script("benchmarks/corpora.py", "an4", source, "--out", tmp_path).returncode == 0
    rows = {path.stem: [json.loads(line) for line in path.open()]
            for path in (tmp_path / "an4").glob("*.jsonl")}  # fmt: skip
    speakers = {split: {row["speaker"] for row in found} for split, found in rows.items()}
    assert len(rows["test"]) == 130 and len(speakers["test"]) == 10
    assert sum(len(row["text"].split()) for row in rows["test"]) == 773
    assert not speakers["train"] & speakers["dev"] and not speakers["test"] & speakers["train"]
    assert not speakers["test"] & speakers["dev"]
