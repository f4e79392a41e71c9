"""The shipped models: real checkpoints that transformers loads, small, and good at what they do."""

import json

import pytest
import torch
from conftest import ROOT, assert_near, requires, run_script
from safetensors.torch import load_file

from checkpoints import read_tensors
from data import load_source
from eval import evaluate
from tinyaudio import Hubert, Qwen3, TinyAudio, Tokenizer, load_audio, normalise

MODELS = ROOT / "models"
SAMPLES = ROOT / "samples" / "manifest.jsonl"


def test_all_models_fit_in_15_megabytes():
    assert sum(f.stat().st_size for f in MODELS.rglob("*") if f.is_file()) <= 15_000_000


def test_tiny_hubert_is_a_real_hubert():
    """HubertForCTC loads it without a missing or unexpected key and computes what we compute."""
    transformers = requires("transformers")
    theirs, info = transformers.HubertForCTC.from_pretrained(
        MODELS / "tiny-hubert", dtype=torch.float32, output_loading_info=True
    )
    assert not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])
    ours = Hubert.from_pretrained(MODELS / "tiny-hubert")
    waveform = load_audio(load_source(str(SAMPLES))[0].audio)[None]
    processor = transformers.AutoProcessor.from_pretrained(MODELS / "tiny-hubert")
    values = processor(waveform[0].numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    normal = normalise(waveform, torch.tensor([waveform.shape[1]]))
    assert_near(normal, values)
    with torch.no_grad():
        expected = theirs.hubert(values).last_hidden_state
        assert_near(ours(normal)[0], expected)
        ids = theirs(values).logits.argmax(-1)
    print(processor.batch_decode(ids))  # by ear and eye: pytest -rP


def test_tiny_qwen3_is_a_real_qwen3():
    transformers = requires("transformers")
    folder = MODELS / "tiny-qwen3"
    theirs, info = transformers.Qwen3ForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])
    ours = Qwen3.from_pretrained(folder, torch.float32)
    text = "<|im_start|>user\nTranscribe: turn on the kitchen lights<|im_end|>\n"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt").input_ids
    assert ids[0].tolist() == Tokenizer(folder).encode(text)
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == Tokenizer(folder).decode(
        ids[0].tolist()
    )
    with torch.no_grad():
        assert_near(ours.logits(ours(input_ids=ids)), theirs(ids).logits)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_shipped_adapters_load_in_peft(part):
    peft, transformers = requires("peft"), requires("transformers")
    name, kind = {"encoder": ("tiny-hubert", transformers.HubertModel),
                  "decoder": ("tiny-qwen3", transformers.Qwen3ForCausalLM)}[part]  # fmt: skip
    base = kind.from_pretrained(MODELS / name, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(base, MODELS / "tiny-audio" / f"{part}_lora")
    ours = {k.split(".", 2)[-1]: v for k, v in lora_tensors(part)}
    theirs = {k.split(".", 2)[-1].replace(".default", ""): v
              for k, v in model.state_dict().items() if "lora_" in k}  # fmt: skip
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def lora_tensors(part):
    from safetensors.torch import load_file

    return load_file(MODELS / "tiny-audio" / f"{part}_lora" / "adapter_model.safetensors").items()


@pytest.mark.parametrize("name", ["my_voice", "digits"])
def test_configs_that_go_on_from_the_shipped_model_plan_its_shape(name):
    done = run_script("train.py", "--config", f"configs/{name}.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    adapters = MODELS.glob("tiny-audio/*_lora/*.safetensors")
    trained = sum(t.numel() for f in adapters for t in load_file(f).values())
    assert f"{trained:,}" in done.stdout.splitlines()[4]


def test_frozen_weights_are_stored_in_bf16():
    for name in ("tiny-hubert", "tiny-qwen3"):
        assert {tensor.dtype for _, tensor in read_tensors(MODELS / name)} == {torch.bfloat16}


def test_the_shipped_model_hears_the_samples():
    """The model in models/ and the recordings in samples/ belong together."""
    model = TinyAudio.from_pretrained(MODELS / "tiny-audio", device="cpu")
    _, summary = evaluate(model, load_source(str(SAMPLES)), "none")
    assert summary["raw_wer"] <= 0.05


def test_first_transcription():
    """Greedy, three of five without an error; with the encoder's letters all (test_ctc.py)."""
    samples = sorted((ROOT / "samples").glob("*.wav"))
    done = run_script("tinyaudio.py", *samples)
    assert done.returncode == 0, done.stderr
    said = {json.loads(line)["audio"]: json.loads(line)["text"] for line in SAMPLES.open()}
    lines = done.stdout.strip().splitlines()
    assert len(lines) == len(samples) == len(said) >= 4
    right = sum(line.split(": ")[1] == said[s.name] for line, s in zip(lines, samples, strict=True))
    assert right >= 3


def test_a_real_recording_is_transcribed():
    """Recordings of people, where the workplace has them: no claim about the words."""
    speech = ROOT.parent / "shared" / "speech" / "misc_short" / "manifest.jsonl"
    if not speech.is_file():
        pytest.skip(f"{speech} is absent")
    model = TinyAudio.from_pretrained(MODELS / "tiny-audio", device="cpu")
    _, summary = evaluate(model, load_source(str(speech))[:4])
    assert summary["utterances"] == 4
