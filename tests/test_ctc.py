"""The encoder's letters: against transformers and every alignment, and as a judge of the beam."""

import itertools
import json
import math
import shutil

import pytest
import torch
from conftest import assert_near, randomise, requires, run_script

from audio import SAMPLE_RATE, load_audio
from beam import n_best
from ctc import WEIGHT, HubertCTC, JointTinyAudio
from tinyaudio import DEFAULT_MODEL, TinyAudio

transformers = requires("transformers")

SAMPLES = DEFAULT_MODEL.parents[1] / "samples"
ENCODER = DEFAULT_MODEL.parent / "tiny-hubert"
LETTERS = ["<pad>", "Z", "|", *"ETA"]


@pytest.fixture(scope="module")
def waveform():
    return torch.randn(SAMPLE_RATE // 8, generator=torch.manual_seed(0))


@pytest.fixture(params=["HubertForCTC", "Wav2Vec2ForCTC"])
def theirs_and_ours(request, tmp_path):
    """A random model of transformers, and ours read from its folder."""
    kind = getattr(transformers, request.param)
    theirs = randomise(kind(kind.config_class(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
        do_stable_layer_norm=True, feat_extract_norm="layer", vocab_size=len(LETTERS),
    )))  # fmt: skip
    theirs.save_pretrained(tmp_path)
    shuffled = sorted(enumerate(LETTERS), key=lambda entry: entry[1])
    (tmp_path / "vocab.json").write_text(json.dumps({letter: n for n, letter in shuffled}))
    return theirs.eval(), HubertCTC.from_pretrained(tmp_path)


def test_letters_are_transformers(theirs_and_ours, waveform):
    theirs, ours = theirs_and_ours
    heard = (waveform - waveform.mean()) / waveform.std(correction=0)
    with torch.no_grad():
        logits = theirs(heard[None]).logits[0]
    assert_near(ours.log_probs(waveform), logits.log_softmax(-1), 1e-4)


def test_a_score_is_the_sum_over_all_alignments(theirs_and_ours, waveform):
    """Fails if the space, the blank, a repeated letter or an empty text is scored as another."""
    _, model = theirs_and_ours
    log_probs = model.log_probs(waveform)
    frames, size = log_probs.shape
    by_text = {}
    for path in itertools.product(range(size), repeat=frames):
        total = log_probs[range(frames), path].sum().item()
        joined = "".join(model.letters[k] for k, _ in itertools.groupby(path) if k)
        by_text.setdefault(joined, []).append(total)
    texts = ["", "e", "tea", "t", "ee", "a t", "ate at", "eeee"]
    expected = [torch.tensor(by_text.get(text.upper().replace(" ", "|"), [-math.inf])).logsumexp(0)
                for text in texts]  # fmt: skip
    found = model.score(waveform, texts)
    assert found.isinf().tolist() == [False] * 7 + [True]  # four e need seven frames
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-4, rtol=1e-4)
    assert model.score(waveform, ["T, 1 e 1"])[0] == model.score(waveform, ["t e"])[0]


def test_letters_of_frames_become_words():
    model = HubertCTC.from_pretrained(ENCODER)
    frames = ["<pad>", "T", "T", "<pad>", "T", "|", "|", "<pad>", "|", "A", "<pad>"]
    assert model.decode([model.letters.index(letter) for letter in frames]) == "tt a"


@pytest.fixture(scope="module")
def joint():
    return JointTinyAudio.from_pretrained(DEFAULT_MODEL)


@pytest.mark.parametrize("sample", ["1.wav", "3.wav"])  # together they tell all four apart
def test_the_beam_is_judged_by_both(joint, sample):
    """Fails if one of the two has no say, the weights are exchanged, or LoRA is in the encoder."""
    waveform = load_audio(SAMPLES / sample)
    (piece,) = joint.pieces(waveform)
    eos = joint.decoder.cfg.eos_token_ids
    (found,) = n_best(joint.decoder, *joint.prompts([piece]), 6, [60], eos)
    letters, judged = HubertCTC.from_pretrained(ENCODER), {}
    for ids, total in found:
        text = joint.finish(ids)
        judged[text] = (total, letters.score(piece, [text]).item())
    best = max(judged, key=lambda text: (1 - WEIGHT) * judged[text][0] + WEIGHT * judged[text][1])
    assert joint.transcribe(waveform, 6, max_new_tokens=60) == best
    for verdict in judged.values():
        assert all(math.isfinite(number) and number < 0 for number in verdict)


def test_it_finds_what_the_beam_alone_does_not(joint):
    """The shipped model on its five samples: an error in two greedily, in none with the letters."""
    rows = [json.loads(line) for line in (SAMPLES / "manifest.jsonl").read_text().splitlines()]
    recordings, refs = [str(SAMPLES / r["audio"]) for r in rows], [r["text"] for r in rows]
    assert joint.transcribe(recordings) == refs
    assert TinyAudio.from_pretrained(DEFAULT_MODEL).transcribe(recordings) != refs


def test_silence_and_lists_are_as_without_it(joint):
    assert joint.transcribe([torch.zeros(SAMPLE_RATE)], beams=2) == [""]
    with pytest.raises(ValueError, match="one beam leaves nothing"):
        joint.transcribe(str(SAMPLES / "1.wav"), beams=1)


def test_eval_names_it(tmp_path):
    done = run_script("eval.py", "--data", SAMPLES / "manifest.jsonl", "--beams", 4, "--ctc",
                      "--out", tmp_path)  # fmt: skip
    assert done.returncode == 0 and "beam 4 with CTC" in done.stdout, done.stderr
    assert json.loads((tmp_path / "summary.json").read_text())["ctc"] is True


def test_one_beam_leaves_nothing_to_judge():
    for script, arguments in (("eval.py", ()), ("tinyaudio.py", (SAMPLES / "1.wav",))):
        done = run_script(script, *arguments, "--ctc", "--beams", 1)
        assert done.returncode == 1 and "one beam leaves nothing" in done.stderr, done.stderr


def test_an_encoder_without_letters_is_a_sentence(tmp_path):
    shutil.copytree(ENCODER, tmp_path / "encoder")
    (tmp_path / "encoder" / "vocab.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"vocab\.json: not there"):
        HubertCTC.from_pretrained(tmp_path / "encoder")


@pytest.mark.parametrize("change", [str.lower, lambda text: text.replace("<pad>", "[PAD]")])
def test_other_letters_are_a_sentence(tmp_path, change):
    """Fails if a vocabulary that is read otherwise gives every text the same score."""
    shutil.copytree(ENCODER, tmp_path / "encoder")
    vocab = tmp_path / "encoder" / "vocab.json"
    vocab.write_text(change(vocab.read_text()))
    with pytest.raises(ValueError, match="upper-case letters"):
        HubertCTC.from_pretrained(tmp_path / "encoder")
