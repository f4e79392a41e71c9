"""Manifests, what is left out and why, batches and their cursor, the synthesised corpus."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys

import pytest
import soundfile
import torch
from conftest import ROOT

from data import (
    Batches,
    DataConfig,
    Problems,
    collate,
    held_out,
    load_source,
    normalise_text,
    usable,
)
from synthesis import espeak_corpus, read_grammar, sentences, voices


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Turn ON, the lights!", "turn on the lights"),
        ("I\u2019m at Tom's - it's 5 o'clock", "i'm at tom's it's 5 o'clock"),
        ("'quoted' re-do \u00c9t\u00e9 \ufb01ne", "quoted re do \u00e9t\u00e9 fine"),
        ("  \n ...", ""),
        ("नमस्ते, สวัสดี!", "नमस्ते สวัสดี"),  # vowels that are marks
        ("co\u00adoperate ශ්\u200dරී", "cooperate ශ්රී"),  # what is not seen divides no word
    ],
)
def test_normalise_text(text, expected):
    assert normalise_text(text) == expected


def write_manifest(folder, rows):
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_what_cannot_be_used_is_counted_by_reason(tmp_path):
    """Never fatal, never silent: each utterance left out appears under its reason."""
    noise = torch.randn(16_000).numpy() * 0.1
    soundfile.write(tmp_path / "good.wav", noise, 16_000)
    soundfile.write(tmp_path / "silent.wav", noise * 0, 16_000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF, or so it says")
    source = write_manifest(tmp_path, [
        {"audio": "good.wav", "text": "Hello!"},
        {"audio": "good.wav", "text": "the middle", "offset": 0.25, "duration": 0.5},
        {"audio": "silent.wav", "text": "nothing"},
        {"audio": "broken.wav", "text": "x"},
        {"audio": "broken.wav", "text": "claims a second", "duration": 1.0},
        {"audio": "missing.wav", "text": "x"},
        {"audio": "good.wav", "text": "?!"},
        {"audio": "good.wav", "text": "long", "duration": 99},
        {"audio": "good.wav", "text": "short", "duration": 0.01},
    ])  # fmt: skip
    problems = Problems()
    kept = usable(load_source(source), DataConfig(), problems)
    batch, more = collate([utterance for utterance, _ in kept])
    problems.update(more)
    assert batch.texts == ["hello", "the middle"] and batch.lengths.tolist() == [16_000, 8_000]
    assert problems == {
        "silent": 1, "the audio file is missing or cannot be read": 3, "no words in the text": 1,
        "longer than 30.0 s": 1, "shorter than 0.1 s": 1,
    }  # fmt: skip
    torch.testing.assert_close(batch.waveforms[1, :8000], batch.waveforms[0, 4000:12_000])
    assert not batch.waveforms[1, 8000:].any()


def test_recordings_to_choose_by_are_tried_first(tmp_path):
    """Fails if a dev set that cannot be read is found after hours of training."""
    soundfile.write(tmp_path / "good.wav", torch.randn(16_000).numpy() * 0.1, 16_000)
    rows = [{"audio": name, "text": "a", "duration": 1.0} for name in ("gone.wav", "good.wav")]
    source = write_manifest(tmp_path, rows)
    assert len(held_out(DataConfig(dev=(source,)), "dev")) == 2
    with pytest.raises(ValueError, match=r"data\.test: none can be read"):
        held_out(DataConfig(test=(write_manifest(tmp_path, rows[:1]),)), "test")
    rows[1] |= {"duration": 40.0}  # too long for a batch: scored, but without a loss
    source = write_manifest(tmp_path, rows)
    with pytest.raises(ValueError, match=r"data\.dev: .* a fitting length"):
        held_out(DataConfig(dev=(source,)), "dev")
    assert len(held_out(DataConfig(test=(source,)), "test")) == 2


LATE_WORKER = """
import os, signal, sys, time
import data
from checkpoints import catch_signals, spare

def late(worker):  # while it starts, all of the run gets the signal, as torchrun sends it
    os.killpg(os.getpgrp(), signal.SIGTERM)
    spare(worker)

data.spare, caught = late, catch_signals()
cfg = data.DataConfig(train=(sys.argv[1],), batch_seconds=8, workers=1)
batches = data.Batches(data.load_source(sys.argv[1]), cfg, seed=0)
found = sum(batch is not None for batch, _ in batches.loader(epoch=0))
print(found, len(batches.plan(0)), *caught)
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no process groups")
def test_a_signal_to_the_group_spares_data_workers(corpus):
    """Fails if SIGTERM to all of a run kills what loads its data, even in its first moments: the
    run would die of that before it had saved."""
    done = subprocess.run(
        [sys.executable, "-c", LATE_WORKER, corpus], cwd=ROOT, capture_output=True, text=True,
        start_new_session=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, planned, *caught = map(int, done.stdout.split())
    assert found == planned and caught == [signal.SIGTERM]


def test_noise_that_is_gone_is_counted_too(tmp_path):
    """Fails if one missing file of augment.noise ends a run after hours."""
    soundfile.write(tmp_path / "good.wav", torch.randn(16_000).numpy() * 0.1, 16_000)
    source = write_manifest(tmp_path, [{"audio": "good.wav", "text": text} for text in "ab"])

    def vary(utterance, waveform):
        return load_source("missing.jsonl") if utterance.text == "a" else waveform

    batch, problems = collate(load_source(source), vary)
    assert batch.texts == ["b"]
    assert problems == {"the noise to be mixed in is missing or cannot be read": 1}


def test_a_recording_of_unknown_length_is_one_that_cannot_be_read(tmp_path):
    """Fails if a FLAC written to a pipe counts as one of 18 million years."""
    soundfile.write(tmp_path / "piped.flac", torch.randn(16_000).numpy() * 0.1, 16_000)
    data = bytearray((tmp_path / "piped.flac").read_bytes())
    data[21] &= 0xF0  # 36 bits of STREAMINFO: how many samples
    data[22:26] = bytes(4)
    (tmp_path / "piped.flac").write_bytes(data)
    problems, source = Problems(), write_manifest(tmp_path, [{"audio": "piped.flac", "text": "a"}])
    assert usable(load_source(source), DataConfig(), problems) == []
    assert problems == {"the audio file is missing or cannot be read": 1}
    with pytest.raises(ValueError, match=r"piped\.flac: .* does not say how long it is"):
        load_source(source)[0].waveform()


def test_recordings_without_words_are_trained_on_where_asked(tmp_path):
    soundfile.write(tmp_path / "noise.wav", torch.randn(16_000).numpy() * 0.1, 16_000)
    rows = [{"audio": "noise.wav", "text": ""}, {"audio": "noise.wav", "text": "one"}]
    utterances, problems = load_source(write_manifest(tmp_path, rows)), Problems()
    kept = usable(utterances, DataConfig(wordless=True), problems)
    assert [u.text for u, _ in kept] == ["", "one"] and not problems


def test_a_source_named_several_times(corpus):
    """Each round has ids of its own: augmentation, seeded by the id, varies every one anew."""
    once, thrice = load_source(str(corpus)), load_source(f"{corpus}*3")
    assert len(thrice) == len({u.id for u in thrice}) == 3 * len(once)
    assert thrice[: len(once)] == once
    assert [u.audio for u in thrice] == 3 * [u.audio for u in once]


@pytest.mark.parametrize("line", ['{"audio": "x.wav"}', "[1]", "not json", '{"text": "a"}'])
def test_a_bad_manifest_names_the_line(tmp_path, line):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"audio": "x.wav", "text": "fine"}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 2"):
        load_source(str(path))


def test_batches_hold_every_utterance_once_and_the_limit(corpus):
    cfg = DataConfig(batch_seconds=8.0)
    batches = Batches(load_source(str(corpus)), cfg, seed=3)
    plan = batches.plan(epoch=0)
    ids = [utterance.id for batch in plan for utterance in batch]
    assert len(ids) == len(set(ids)) == 48
    for batch in plan:
        assert max(u.duration for u in batch) * len(batch) <= cfg.batch_seconds
    assert plan == batches.plan(0) != batches.plan(1)
    longest = [max(u.duration for u in batch) for batch in plan]
    assert longest != sorted(longest)  # long and short batches are mixed


def test_batches_waste_little_padding(corpus):
    batches = Batches(load_source(str(corpus)), DataConfig(batch_seconds=10.0), seed=0)
    loaded = [batch for batch, _ in batches.loader(epoch=0)]
    padded = sum(b.waveforms.numel() for b in loaded) / 16_000
    assert padded < 1.25 * sum(b.seconds for b in loaded)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_stream_goes_on_from_its_cursor(corpus, workers):
    """Started anywhere, across the end of an epoch too, the same batches follow."""
    batches = Batches(load_source(str(corpus)), DataConfig(batch_seconds=20, workers=workers), 1)
    stream = batches.stream({})
    whole = [next(stream) for _ in range(len(batches.plan(0)) + 3)]
    for start in (1, len(batches.plan(0)) - 1, len(batches.plan(0)) + 1):
        again = batches.stream(whole[start - 1][0])
        for cursor, batch, _ in whole[start:]:
            same, found, _ = next(again)
            assert same == cursor and found.texts == batch.texts
            assert torch.equal(found.waveforms, batch.waveforms)


def test_an_epoch_of_other_batches_begins_anew(corpus, capsys):
    """Fails if a run that is resumed with less memory leaves out what it has not heard."""
    utterances = load_source(str(corpus))
    stream = Batches(utterances, DataConfig(batch_seconds=20), 1).stream({})
    cursor = [next(stream)[0] for _ in range(3)][-1]
    smaller = Batches(utterances, DataConfig(batch_seconds=10), 1)
    again = smaller.stream(cursor)
    found = [text for _ in smaller.plan(0) for text in next(again)[1].texts]
    assert sorted(found) == sorted(u.text for u in utterances)
    assert "epoch 0 begins anew" in capsys.readouterr().err


@pytest.mark.parametrize(("grammar", "size"), [("everyday", 700), ("dictation", 100)])
def test_the_languages_and_their_splits(grammar, size):
    """Hundreds of words; a sentence belongs to one split for good; every rule is used."""
    sets = {}
    for split in ("train", "dev", "test"):
        generator = sentences(split, random.Random(0), grammar)
        sets[split] = {next(generator) for _ in range(4000)}
    assert not (sets["train"] & sets["dev"] or sets["train"] & sets["test"])
    assert not sets["dev"] & sets["test"]
    words = {word for texts in sets.values() for text in texts for word in text.split()}
    assert len(words) >= size and all(normalise_text(word) == word for word in words)
    rules = read_grammar(grammar)
    used = {name for lines in rules.values() for line in lines for name in names_in(line)}
    assert used | {"sentence"} == rules.keys()


def test_articles_and_spelling():
    everyday, dictation = (
        {next(texts) for _ in range(20_000)}
        for texts in (sentences("train", random.Random(0), g) for g in ("everyday", "dictation"))
    )
    assert any("an orange" in text for text in everyday)
    assert not any(
        re.search(r"\ban? \W|\ba [aeio]\w{2}|\ban (?!hour)[^aeiou]", t) for t in everyday
    )
    assert "b o s t o n" in dictation and any(" a e" in f" {text} " for text in dictation)
    assert not any(" an " in f" {text} " for text in dictation)


def names_in(line):
    return [part.split("}")[0].removeprefix("spelled_") for part in line.split("{")[1:]]


def test_held_out_voices_are_nobody_elses():
    """Nor are their near copies: steph and steph2 are in the same split."""
    families = {
        split: {name.rstrip("0123456789") for name in voices(split)}
        for split in ("train", "dev", "test")
    }
    assert not families["train"] & (families["dev"] | families["test"])
    assert not families["dev"] & families["test"]
    assert len(voices("train")) >= 60 and len(voices("dev")) >= 5 and len(voices("test")) >= 10


def test_the_corpus_is_the_same_every_time(tmp_path, monkeypatch):
    """Another folder, the same bytes: figures on the synthesised test set hold anywhere."""
    contents = []
    for name in ("one", "two"):
        monkeypatch.setattr("synthesis.CORPORA", tmp_path / name)
        manifest = espeak_corpus("espeak:dev:12")
        utterances = load_source(str(manifest))
        contents.append([utterance.waveform() for utterance in utterances])
        assert all(abs(len(w) / 16_000 - u.duration) < 1e-3
                   for w, u in zip(contents[-1], utterances, strict=True))  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(*contents, strict=True))
    with pytest.raises(ValueError, match="everyday and SPLIT one of train"):
        load_source("espeak:somewhere:12")


def test_any_script_may_ask_for_the_corpus(tmp_path):
    """Fails if the processes that speak run the asking script again, as multiprocessing's do."""
    program = "from data import load_source\nprint(len(load_source('espeak:test:3')))\n"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for arguments, given in (((), program), (("ask.py",), "")):
        (tmp_path / "ask.py").write_text(program)
        done = subprocess.run([sys.executable, *arguments], input=given, cwd=tmp_path, timeout=60,
                              env=environment, capture_output=True, text=True)  # fmt: skip
        assert done.stdout == "3\n", done.stderr
        shutil.rmtree(tmp_path / "runs")
