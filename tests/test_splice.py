"""Words exchanged between recordings of one voice: cut where they end, said by that voice."""

import json
from itertools import accumulate, pairwise

import pytest
import soundfile
import torch
from conftest import run_script

from audio import SAMPLE_RATE
from benchmarks.splice import cut_words, join
from ctc import HubertCTC
from data import load_source
from eval import wer
from pretrain import MODELS
from synthesis import Espeak

GAP = torch.zeros(SAMPLE_RATE // 8)  # of silence between two words


@pytest.fixture(scope="module")
def encoder():
    return HubertCTC.from_pretrained(MODELS / "tiny-hubert")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Two voices; in `ends` where each word ends, known because silence was put there."""
    folder, espeak, rows = tmp_path_factory.mktemp("said"), Espeak(), []
    said = {"en-us+m3": ["enter seven two", "b k five", "erase r h one"],
            "en-us+f3": ["enter four three", "y m nine", "s g six"]}  # fmt: skip
    for speaker, texts in said.items():
        for i, text in enumerate(texts):
            words = [espeak.speak(word, speaker) for word in text.split()]
            sound = torch.cat([piece for word in words for piece in (word, GAP)])
            soundfile.write(folder / f"{speaker}{i}.wav", sound.numpy(), SAMPLE_RATE)
            ends = list(accumulate(len(word) + len(GAP) for word in words))
            rows.append({"audio": f"{speaker}{i}.wav", "text": text, "speaker": speaker,
                         "ends": ends})  # fmt: skip
    path = folder / "said.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_words_are_cut_in_the_gaps_and_together_are_the_recording(manifest, encoder):
    rows = [json.loads(line) for line in manifest.open()]
    for utterance, row in zip(load_source(str(manifest)), rows, strict=True):
        words = cut_words(encoder, utterance.waveform(), utterance.text)
        assert " ".join(word.text for word in words) == utterance.text
        assert torch.cat([word.sound for word in words]).equal(utterance.waveform())
        cuts = list(accumulate(len(word.sound) for word in words))[:-1]
        for cut, end in zip(cuts, row["ends"], strict=False):  # within 60 ms of the silence
            assert end - len(GAP) - 960 <= cut <= end + 960


def test_what_is_spliced_says_its_text_in_one_voice(manifest, encoder):
    done = run_script("benchmarks/splice.py", manifest, "--copies", 4)
    assert done.returncode == 0 and "24 recordings" in done.stdout, done.stderr
    said = load_source(str(manifest))
    spliced = load_source(str(manifest.parent / "said-spliced" / "manifest.jsonl"))
    known = {u.speaker: {w for v in said if v.speaker == u.speaker for w in v.text.split()}
             for u in said}  # fmt: skip
    for n, utterance in enumerate(spliced):
        original = said[n % len(said)]
        assert utterance.speaker == original.speaker
        assert set(utterance.text.split()) <= known[utterance.speaker]
        for old, new in zip(original.text.split(), utterance.text.split(), strict=True):
            assert old == new or (len(old) == 1) == (len(new) == 1)
            assert old not in ("enter", "erase") or new == old
    new = {u.text for u in spliced} - {u.text for u in said}
    assert len(new) > 8
    refs = [u.text for u in spliced]
    heard = [encoder.transcribe(u.waveform()) for u in spliced]
    before = wer([u.text for u in said], [encoder.transcribe(u.waveform()) for u in said])
    assert wer(refs, heard) < before + 0.2
    assert wer(refs[1:] + refs[:1], heard) > 0.7


def test_joins_fade_into_each_other():
    low, high = torch.full((1000,), -1.0), torch.full((1000,), 1.0)
    joined = join([low, high, low])
    assert len(joined) == 3000 - 2 * 80
    assert max(abs(b - a) for a, b in pairwise(joined.tolist())) < 0.03
    assert join([high]).equal(high)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"text": "b", "speaker": ""}, "names no speaker"),
        ({"text": "b " * 60, "speaker": "one"}, "left out 1 utterances: too short for its text"),
        ({"text": "4 b", "speaker": "one"}, "left out 1 utterances: no words, or one without"),
        ({"text": "b", "speaker": "one", "audio": "lost.wav"}, "the audio file is missing"),
    ],
)
def test_what_cannot_be_spliced_is_a_sentence(row, sentence, tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * torch.randn(8000).numpy(), SAMPLE_RATE)
    (tmp_path / "a.jsonl").write_text(json.dumps({"audio": "a.wav"} | row) + "\n")
    done = run_script("benchmarks/splice.py", tmp_path / "a.jsonl")
    assert done.returncode == 1 and sentence in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.glob("*/*"))
