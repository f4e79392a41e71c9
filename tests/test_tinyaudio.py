"""TinyAudio: from a recording to text, its loss, and the way to a folder and back."""

import io
import json
import math
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, assert_near, randomise, requires, run_script
from safetensors.torch import load_file, save_file

from checkpoints import HubertConfig, Qwen3Config
from data import pad
from tinyaudio import (
    SAMPLE_RATE,
    Hubert,
    LoraConfig,
    ModelConfig,
    Qwen3,
    TinyAudio,
    Tokenizer,
    load_audio,
    loop_start,
    normalise,
    split_at_silences,
)

PAIR = {name: str(ROOT / "models" / name) for name in ("tiny-hubert", "tiny-qwen3")}
GROUP_NORM = HubertConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
    conv_dim=(16,) * 7, conv_kernel=(10, 3, 3, 3, 3, 2, 2), conv_stride=(5, 2, 2, 2, 2, 2, 2),
    conv_bias=False, feat_extract_norm="group", do_stable_layer_norm=False,
    num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
)  # fmt: skip
SECONDS = (0.3, 12.0, 1.73, 0.31, 5.03)
TEXTS = ["turn on", "the light in the kitchen", "seven", "blue", "wake me at six"]


def make(group_norm=False, dropout=0.0, **changes) -> TinyAudio:
    """The tiny pair with a random projector and random adapters: its text is nonsense, and
    depends on the audio."""
    torch.manual_seed(0)
    cfg = ModelConfig(
        encoder=PAIR["tiny-hubert"], decoder=PAIR["tiny-qwen3"], projector_hidden=32, stack=5,
        encoder_lora=LoraConfig(4, 8.0, dropout, ("q_proj", "k_proj")),
        decoder_lora=LoraConfig(4, 8.0, dropout, ("q_proj", "v_proj")), **changes,
    )  # fmt: skip
    model = TinyAudio.from_config(cfg)
    if group_norm:
        encoder = randomise(Hubert(GROUP_NORM))
        model = TinyAudio(cfg, encoder, Qwen3.from_pretrained(cfg.decoder), model.tokenizer)
        model.decoder.float()
    with torch.no_grad():
        for p in trained(model).values():
            p += 0.1 * torch.randn(p.shape)
    return model.eval()


def make_looping(**changes) -> TinyAudio:
    """A model that says the last word of its prompt for ever: a decoder that only embeds."""
    model = make(prompt="Transcribe: <audio> the", **changes)
    for layer in model.decoder.model["layers"]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return model


def trained(model) -> dict:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def noises(*seconds) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(int(s * SAMPLE_RATE), generator=generator) for s in seconds]


@pytest.fixture(scope="module", params=[False, True], ids=["layer_norm", "group_norm"])
def either(request):
    """A model with either kind of encoder; no test may change it."""
    return make(request.param)


@pytest.fixture(scope="module")
def model():
    """The model of the tests that change nothing about it."""
    return make()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of `model`, saved."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    make().save_pretrained(folder)
    return folder


def sine(hertz=440.0, seconds=1.0, rate=SAMPLE_RATE):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def frequency(waveform) -> float:
    """Of the strongest component, in Hz."""
    spectrum = torch.fft.rfft(waveform).abs()
    return spectrum.argmax().item() * SAMPLE_RATE / len(waveform)


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "file"])
@pytest.mark.parametrize(("suffix", "tolerance"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05)])
def test_load_audio_from_anything(tmp_path, suffix, tolerance, kind):
    """Fails if a format or a kind of source gives other samples than were written."""
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, sine(), SAMPLE_RATE)
    source = {"path": path, "str": str(path), "bytes": path.read_bytes(),
              "file": io.BytesIO(path.read_bytes())}[kind]  # fmt: skip
    waveform = load_audio(source)
    assert waveform.dtype == torch.float32 and waveform.shape == (SAMPLE_RATE,)
    torch.testing.assert_close(waveform, torch.tensor(sine()).float(), atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "array",
    [
        (sine() * 2**15).astype(np.int16),
        (sine() * 2**31).astype(np.int32),
        sine().astype(np.float32),
        sine(),
        np.stack((sine() + 0.3, sine() - 0.3), axis=1),
    ],
    ids=["int16", "int32", "float32", "float64", "stereo"],
)
def test_load_audio_from_an_array(array):
    """Fails if full scale is not 1 or the channels are not averaged."""
    waveform = load_audio((array, SAMPLE_RATE))
    torch.testing.assert_close(waveform, torch.tensor(sine()).float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 44_101, 48_000, 191_999])
def test_resampling_keeps_the_pitch(rate):
    """Fails if a recording at another rate is played too fast or too slow."""
    waveform = load_audio((sine(440, 2.0, rate), rate))
    assert abs(len(waveform) - 2 * SAMPLE_RATE) <= 1 and abs(frequency(waveform) - 440) <= 0.5
    assert abs(waveform[1000:-1000].abs().max().item() - 0.5) < 0.01


@pytest.mark.parametrize("kind", ["path", "array"])
@pytest.mark.parametrize("rate", [SAMPLE_RATE, 44_100])
def test_offset_and_duration(tmp_path, rate, kind):
    """Fails if a manifest's part of a recording is cut elsewhere, or at the wrong rate."""
    array = np.concatenate([sine(hertz, 0.5, rate) for hertz in (300, 500, 800)])
    soundfile.write(tmp_path / "three.wav", array, rate)
    source = tmp_path / "three.wav" if kind == "path" else (array, rate)
    assert frequency(load_audio(source, offset=0.5, duration=0.5)) == 500
    assert len(load_audio(source, offset=0.5, duration=0.5)) == SAMPLE_RATE // 2
    assert frequency(load_audio(source, offset=1.0)) == 800


def write_bad_files(folder) -> dict[str, str]:
    """Files no text can come of: {name: what the error must say}."""
    soundfile.write(folder / "header.wav", np.zeros(0), SAMPLE_RATE)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("not a recording at all\n" * 50)
    (folder / "cut.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    wave = sine().astype(np.float32)
    wave[7] = np.nan
    soundfile.write(folder / "nan.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    (folder / "folder.wav").mkdir()
    unreadable = "not audio that can be read"
    return {
        "header.wav": "holds no audio samples", "empty.wav": unreadable, "text.wav": unreadable,
        "cut.wav": unreadable, "nan.wav": "not numbers", "folder.wav": "is a folder",
        "missing.wav": "no such file",
    }  # fmt: skip


def test_what_is_not_audio_is_named(tmp_path):
    """Fails if a bad file is accepted, or its error does not say which file and why."""
    for name, reason in write_bad_files(tmp_path).items():
        gone = reason in ("no such file", "is a folder")
        expected = FileNotFoundError if gone else ValueError
        with pytest.raises(expected, match=f"{name}: .*{reason}"):
            load_audio(tmp_path / name)
    for source in (b"", b"no audio", (np.zeros(0), SAMPLE_RATE), (np.array([np.inf]), 8000)):
        with pytest.raises(ValueError, match=r"^the audio: "):
            load_audio(source)
    soundfile.write(tmp_path / "tone.wav", sine(), SAMPLE_RATE)
    with pytest.raises(ValueError, match=r"tone\.wav: ends before 5\.0 s"):
        load_audio(tmp_path / "tone.wav", offset=5.0)
    with pytest.raises(ValueError, match=r"\(T, channels\), got \(2, 16000\)"):
        load_audio((np.zeros((2, 16_000)), SAMPLE_RATE))  # channels first


def test_a_recording_that_is_cut_short_ends_there(tmp_path):
    """Fails if what its header promises is made up: reading MP3 in blocks repeats the last one."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * SAMPLE_RATE)
    soundfile.write(tmp_path / "whole.mp3", noise, SAMPLE_RATE)
    encoded = (tmp_path / "whole.mp3").read_bytes()
    whole, cut = load_audio(encoded), load_audio(encoded[: len(encoded) // 2])
    assert 0.3 * len(whole) < len(cut) < 0.7 * len(whole)


@pytest.mark.parametrize(
    "waveform",
    [torch.zeros(1, 16_000), torch.zeros(16_000, dtype=torch.int16), torch.full((9,), math.nan)],
)
def test_a_tensor_that_is_no_waveform_is_a_sentence(model, waveform):
    with pytest.raises(ValueError, match=r"expected a waveform \(T,\) of finite floats"):
        model.transcribe(waveform)


def test_normalise_equals_the_feature_extractor():
    """Fails if our waveforms are scaled otherwise than those the encoder was trained on."""
    transformers = requires("transformers")
    theirs = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    waveforms = [3 * w + 0.2 for w in noises(0.5, 2.0, 1.1)]
    batch = pad(waveforms, [""] * 3)
    arrays, options = [w.numpy() for w in waveforms], {"sampling_rate": SAMPLE_RATE}
    padded = theirs(arrays, padding=True, return_tensors="pt", **options).input_values
    assert_near(normalise(batch.waveforms, batch.lengths), padded, 1e-5)
    alone = theirs(arrays[0], return_tensors="pt", **options).input_values
    assert_near(normalise(waveforms[0][None], batch.lengths[:1]), alone, 1e-5)


def test_long_recordings_are_cut_in_the_silence():
    """Fails if samples are lost, a piece is too long, or a cut goes through a word."""
    waveform = noises(75.0)[0]
    silences = [(20, 20.4), (41, 41.4), (66, 66.4)]
    for start, end in silences:
        waveform[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] *= 1e-3
    pieces = split_at_silences(waveform, 30.0)
    assert torch.equal(torch.cat(pieces), waveform)
    assert max(map(len, pieces)) <= 30 * SAMPLE_RATE
    cuts = np.cumsum([len(piece) for piece in pieces])[:-1] / SAMPLE_RATE
    assert len(cuts) == 3
    for cut, (start, end) in zip(cuts, silences, strict=True):
        assert start <= cut <= end
    assert len(split_at_silences(waveform[: 30 * SAMPLE_RATE], 30.0)) == 1


@torch.inference_mode()
def test_padding_never_leaks_into_audio_tokens(either):
    """Fails if an utterance's audio tokens depend on what it is batched with."""
    waveforms = noises(*SECONDS)
    batch = pad(waveforms, TEXTS)
    for waveform, tokens in zip(waveforms, either.encode(batch.waveforms, batch.lengths),
                                strict=True):  # fmt: skip
        alone = either.encode(waveform[None], torch.tensor([len(waveform)]))[0]
        assert_near(tokens, alone)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_batch_is_transcribed_as_each_alone(either, beams):
    """Fails if padding leaks into the text, in either encoder or in generation."""
    waveforms = noises(*SECONDS)
    texts = either.transcribe(waveforms, beams, max_new_tokens=25)
    assert texts == [either.transcribe(w, beams, max_new_tokens=25) for w in waveforms]
    assert len(set(texts)) >= 4  # else the test would see nothing


def test_beams_count(model):
    """Fails if `beams` is passed over."""
    waveforms = noises(*SECONDS)
    assert model.transcribe(waveforms, 3, 25) != model.transcribe(waveforms, 1, 25)


def test_one_or_many_of_any_length(model):
    """Fails on a list, a long, a silent or a very short recording, or if their order is lost."""
    speech, short = noises(2.0, 0.1)
    silence, long = torch.zeros(SAMPLE_RATE), noises(70.0)[0]
    one = model.transcribe(speech, max_new_tokens=8)
    assert isinstance(one, str) and one
    ten = model.transcribe(short[:10], max_new_tokens=8)
    pieces = model.transcribe(split_at_silences(long, 30.0), max_new_tokens=8)
    assert len(pieces) == 3
    texts = model.transcribe([short[:10], silence, long, speech], max_new_tokens=8)
    assert texts == [ten, "", " ".join(filter(None, pieces)), one]
    assert model.transcribe(silence) == "" and model.transcribe([]) == []
    assert model.transcribe(silence + 0.5) == ""
    assert list(model.stream(silence)) == []
    assert model.transcribe((speech.numpy(), SAMPLE_RATE), max_new_tokens=8) == one


@pytest.mark.filterwarnings("ignore:the decoder repeated itself")
def test_a_stream_joined_is_the_transcript(model):
    """Fails if a piece is lost, shown twice, or shown and taken back."""
    for waveform in noises(*SECONDS):
        parts = list(model.stream(waveform))
        assert "".join(parts) == model.transcribe(waveform) and all(parts)
    slow = make(tokens_per_second=0.2)
    long = noises(70.0)[0]
    assert "".join(slow.stream(long)) == slow.transcribe(long)


@pytest.mark.filterwarnings("ignore:the decoder repeated itself")
def test_a_stream_does_not_show_a_loop():
    """Fails if a repetition is streamed that the transcript leaves out."""
    model = make_looping()
    for waveform in noises(0.1, 3.0):
        assert "".join(model.stream(waveform)) == model.transcribe(waveform)


def loss_by_hand(model, waveform, text) -> torch.Tensor:
    """The loss of one utterance as its definition reads: full logits, shifted by hand."""
    samples = (waveform - waveform.mean()) / (waveform.var(correction=0) + 1e-7).sqrt()
    frames = model.encoder(samples[None])[0][0]
    stack = model.cfg.stack
    count = -(-len(frames) // stack)
    frames = torch.cat((frames, frames.new_zeros(count * stack - len(frames), frames.shape[1])))
    audio = model.projector(frames[None])[0]
    before, after = model.cfg.prompt.split("<audio>")
    answer = [*model.tokenizer.encode(text), model.decoder.cfg.eos_token_ids[0]]
    before, after, said = (
        model.decoder.embed(torch.tensor(ids))
        for ids in (model.tokenizer.encode(before), model.tokenizer.encode(after), answer)
    )
    sequence = torch.cat((before, audio, after, said))
    logits = model.decoder.logits(model.decoder(sequence[None]))[0]
    first = len(sequence) - len(answer)
    log_probs = logits.log_softmax(-1)
    return -sum(log_probs[first + i - 1, token] for i, token in enumerate(answer))


@torch.no_grad()
def test_loss_is_its_definition(either):
    """Fails if labels are shifted wrongly, padding counts, or a batch's rows mix."""
    waveforms = noises(*SECONDS)
    loss, count = either(pad(waveforms, TEXTS))
    by_hand = [loss_by_hand(either, w, t) for w, t in zip(waveforms, TEXTS, strict=True)]
    alone = [either(pad([w], [t])) for w, t in zip(waveforms, TEXTS, strict=True)]
    torch.testing.assert_close(loss, sum(by_hand), rtol=1e-4, atol=0)
    torch.testing.assert_close(loss, sum(single for single, _ in alone), rtol=1e-4, atol=0)
    assert count == sum(n for _, n in alone)


@torch.no_grad()
def test_targets_are_the_text_and_its_end(model):
    """Fails if the prompt is trained on, or the end token is not."""
    for text in ("", "seven", "the light in the kitchen"):
        _, count = model(pad(noises(1.0), [text]))
        assert count == len(model.tokenizer.encode(text)) + 1


def test_one_prompt_for_training_and_transcription(model):
    """Fails if the model is asked otherwise than it was taught."""
    seen = []
    hook = model.decoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    waveform = noises(1.5)[0]  # no padding in a batch of its own
    with torch.no_grad():
        model(pad([waveform], ["seven"]))
    model.transcribe(waveform, max_new_tokens=1)
    hook.remove()
    training, asked = seen
    assert torch.equal(training[:, : asked.shape[1]], asked)
    answer = model.decoder.embed(torch.tensor(model.tokenizer.encode("seven")))
    assert torch.equal(training[0, asked.shape[1] :], answer)
    before, after = map(model.tokenizer.encode, model.cfg.prompt.split("<audio>"))
    assert len(before) > 3 and len(after) > 5
    assert torch.equal(asked[0, : len(before)], model.decoder.embed(torch.tensor(before)))
    assert torch.equal(asked[0, -len(after) :], model.decoder.embed(torch.tensor(after)))


def test_what_is_trained_and_what_is_frozen():
    """Fails if a frozen weight would move, or a frozen module drops or renormalises."""
    model = make(dropout=0.5).train()
    for name, p in model.named_parameters():
        assert p.requires_grad == (name.startswith("projector.") or ".lora_" in name), name
    assert {name.split(".")[0] for name in trained(model)} == {"encoder", "projector", "decoder"}
    assert model.training and model.projector.training
    modes = {"lora": set(), "frozen": set()}
    for part in (model.encoder, model.decoder):
        for name, module in part.named_modules():
            kind = "lora" if name.endswith((".dropout", ".lora_A", ".lora_B")) else "frozen"
            if not hasattr(module, "lora_A"):
                modes[kind].add(module.training)
    assert modes == {"lora": {True}, "frozen": {False}}
    assert not any(module.training for module in model.eval().modules())


def test_every_trained_weight_gets_a_gradient(either):
    """Fails if projector or an adapter is cut off from the loss, or a frozen weight is not."""
    loss, _ = either(pad(noises(1.0, 2.0), ["seven", "turn on"]))
    loss.backward()
    with_gradient = {n for n, p in either.named_parameters() if p.grad is not None and p.grad.any()}
    assert with_gradient == trained(either).keys()
    either.zero_grad()


@pytest.mark.parametrize("cause", ["frame_dropout", "dropout"])
@torch.no_grad()
def test_dropout_only_in_training(cause):
    """Fails if transcribing is random, or training is not."""
    model, batch = make(**{cause: 0.4}), pad(noises(2.0), ["seven"])
    assert model(batch)[0] == model(batch)[0]
    model.train()
    assert model(batch)[0] != model(batch)[0]


def test_the_forward_pass_reads_nothing_from_the_device():
    """On the meta device there is nothing to read. Fails if the CPU would wait for a GPU, which is
    then given nothing to do."""
    cfg = replace(make().cfg, frame_dropout=0.1)
    model = TinyAudio.from_config(cfg, weights=False).train()
    batch = pad(noises(*SECONDS), TEXTS).to("meta")
    loss, count = model(batch)
    loss.backward()
    assert loss.is_meta and count.item() > len(TEXTS) and batch.seconds == pytest.approx(19.37)


def assert_same_texts(one, other):
    waveforms = noises(*SECONDS)
    assert one.transcribe(waveforms, 1, 20) == other.transcribe(waveforms, 1, 20)
    mine = {name: p for name, p in one.state_dict().items() if "lora_" in name or "proj" in name}
    assert all(torch.equal(p, other.state_dict()[name]) for name, p in mine.items())


def test_a_saved_model_carries_its_base_along(model, saved, tmp_path):
    """Fails if a model loses a weight on its way, or works only where it was made."""
    moved = Path(shutil.copytree(saved, tmp_path / "moved"))
    config = json.loads((moved / "config.json").read_text())
    assert (config["encoder"], config["decoder"]) == ("encoder", "decoder")
    loaded = TinyAudio.from_pretrained(moved, device="cpu")
    assert not loaded.training
    assert_same_texts(model, loaded)
    loaded.save_pretrained(tmp_path / "again")
    shutil.rmtree(moved)
    assert_same_texts(model, TinyAudio.from_pretrained(tmp_path / "again", device="cpu"))


def test_a_base_is_carried_along_once(model, tmp_path, monkeypatch):
    """Fails if a run copies a base of many GB again whenever dev's WER is better."""
    model.save_pretrained(tmp_path / "run")
    (tmp_path / "run" / "decoder" / "config.json").write_text("{}")  # another's: it is replaced
    copied = []
    copy2 = shutil.copy2
    monkeypatch.setattr(shutil, "copy2", lambda a, b: copied.append(Path(b).name) or copy2(a, b))
    model.save_pretrained(tmp_path / "run")
    assert copied == ["config.json"]
    TinyAudio.from_pretrained(tmp_path / "run", device="cpu").save_pretrained(tmp_path / "run")


def test_no_adapter_of_an_earlier_run_stays(model, tmp_path):
    model.save_pretrained(tmp_path / "run")
    cfg = replace(model.cfg, encoder_lora=LoraConfig(r=0), decoder_lora=LoraConfig(r=0))
    TinyAudio.from_config(cfg).save_trained(tmp_path / "run")
    assert not list((tmp_path / "run").glob("*_lora"))


def test_a_model_beside_its_base_refers_to_it(tmp_path):
    """Fails if the shipped models/ would hold every weight twice, or could not be moved."""
    for path in PAIR.values():
        shutil.copytree(path, tmp_path / "models" / Path(path).name)
    cfg = ModelConfig(
        encoder=str(tmp_path / "models/tiny-hubert"), decoder=str(tmp_path / "models/tiny-qwen3"),
        projector_hidden=32, encoder_lora=LoraConfig(r=0), decoder_lora=LoraConfig(r=0),
    )  # fmt: skip
    model = TinyAudio.from_config(cfg).eval()
    model.save_pretrained(tmp_path / "models" / "mine")
    assert not list((tmp_path / "models" / "mine").glob("*/"))
    config = json.loads((tmp_path / "models/mine/config.json").read_text())
    assert (config["encoder"], config["decoder"]) == ("../tiny-hubert", "../tiny-qwen3")
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    loaded = TinyAudio.from_pretrained(tmp_path / "elsewhere" / "mine", device="cpu")
    assert_same_texts(model, loaded)


def rewrite_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def misshape_projector(folder):
    rewrite_config(folder, projector_hidden=16)


def cut_projector(folder):
    path = folder / "projector.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def cut_adapter(folder):
    path = folder / "decoder_lora" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def lose_an_adapter_key(folder):
    path = folder / "encoder_lora" / "adapter_model.safetensors"
    save_file(dict(list(load_file(path).items())[1:]), path)


@pytest.mark.parametrize(
    ("damage", "error", "sentence"),
    [
        (misshape_projector, ValueError, r"model: the projector does not fit config\.json"),
        (lose_an_adapter_key, ValueError, r"encoder_lora: missing, unexpected or mis-shaped"),
        (lambda f: rewrite_config(f, model_type="bert"), ValueError, "not a Tiny Audio model"),
        (lambda f: (f / "config.json").unlink(), FileNotFoundError, "holds no config"),
        (lambda f: (f / "projector.safetensors").unlink(), FileNotFoundError, "projector"),
        (lambda f: rewrite_config(f, decoder="/nowhere"), FileNotFoundError, "/nowhere"),
        (lambda f: rewrite_config(f, decoder_lora=None), ValueError, "decoder_lora"),
        (lambda f: rewrite_config(f, stack="3"), ValueError, "stack is '3'; expected a value like"),
        (lambda f: (f / "config.json").write_text("{"), ValueError, r"config\.json"),
        (cut_projector, ValueError, "projector"),
        (cut_adapter, ValueError, "adapter_model"),
    ],
    ids=["projector_shape", "adapter_keys", "other_model", "no_config", "no_projector", "no_base",
         "config_keys", "config_kinds", "config_not_json", "projector_cut", "adapter_cut"],
)  # fmt: skip
def test_what_is_no_model_is_named(saved, tmp_path, damage, error, sentence):
    """Fails if a folder that does not fit loads, or ends in a traceback that names no file."""
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    damage(folder)
    with pytest.raises(error, match=sentence):
        TinyAudio.from_pretrained(folder, device="cpu")


@pytest.mark.parametrize(
    ("ids", "start"),
    [
        ([7] * 16, 1),
        ([1, 2, 3] + [7] * 16, 4),
        ([9, 9] + [4, 5] * 8, 4),
        ([8] + [1, 2, 3, 4, 5, 6] * 4, 7),
        ([8] + list(range(16)) * 4, 17),
        ([5, 5, 5, 5], None),  # "five five five five", a number
        ([7] * 15, None),
        ([1, 2, 3, 4, 5, 6] * 3, None),
        (list(range(17)) * 4, None),
        ([7] * 16 + [1], None),  # it got out of it
        ([], None),
    ],
)
def test_loop_start(ids, start):
    """Fails if a loop goes on for ever, or a number said four times is cut."""
    assert loop_start(ids) == start


def test_a_loop_is_cut_with_a_warning():
    """Fails if a stuck decoder fills the transcript, or is silenced without a word."""
    model = make_looping()
    five = model.tokenizer.encode(" five")
    with pytest.warns(UserWarning, match="the decoder repeated itself"):
        assert model.finish(five * 16) == "five"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.finish(five * 4) == "five five five five"
    with pytest.warns(UserWarning, match="the decoder repeated itself"):
        assert model.transcribe(noises(3.0)[0]) == "the"


@pytest.mark.parametrize("prompt", ["Transcribe:", "<audio> and <audio>"])
def test_the_prompt_must_hold_the_audio_once(prompt):
    with pytest.raises(ValueError, match="the prompt must hold <audio> once"):
        make(prompt=prompt)


def test_a_decoder_without_an_end_is_refused(model):
    """Fails if a text could never end."""
    cfg = Qwen3Config(**vars(model.decoder.cfg) | {"eos_token_ids": ()})
    with pytest.raises(ValueError, match="eos_token_id"):
        TinyAudio(model.cfg, model.encoder, Qwen3(cfg), model.tokenizer)


def test_sentencepiece(tmp_path):
    """Fails if Llama 2's tokenizer.model is read otherwise than sentencepiece reads it."""
    import sentencepiece

    lines = [f"{text} number {n}" for text in TEXTS for n in range(20)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(tmp_path / "tokenizer"), vocab_size=36,
        minloglevel=2,
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    tokenizer = Tokenizer(tmp_path)
    ids = tokenizer.encode("turn on the light")
    assert ids == theirs.encode("turn on the light")
    assert tokenizer.encode("turn on the light", start=True) == [theirs.bos_id(), *ids]
    assert tokenizer.decode([theirs.bos_id(), *ids, theirs.eos_id()]) == "turn on the light"


def test_tokenizer_json(model, tmp_path):
    """Fails if special tokens are spoken, or a text does not come back."""
    tokenizer = model.tokenizer
    assert len(tokenizer.encode("<|im_end|>")) == 1
    ids = tokenizer.encode("turn on the light<|im_end|>")
    assert tokenizer.decode(ids) == "turn on the light"
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json nor tokenizer\.model"):
        Tokenizer(tmp_path)
    for name in ("tokenizer.model", "tokenizer.json"):  # the second is looked for first
        (tmp_path / name).write_text('{"cut": "sh')
        with pytest.raises(ValueError, match=f"{name}: no tokenizer that can be read"):
            Tokenizer(tmp_path)


@pytest.fixture(scope="module")
def command(saved, tmp_path_factory):
    """`python tinyaudio.py` on good and bad files: (process, bad files, good files)."""
    folder = tmp_path_factory.mktemp("recordings")
    bad = write_bad_files(folder)
    good = [folder / "good one.wav", folder / "good.flac"]
    for path, waveform in zip(good, noises(0.5, 1.0), strict=True):
        soundfile.write(path, waveform.numpy(), SAMPLE_RATE, subtype="PCM_16")
    files = [good[0], *(folder / name for name in bad), good[1]]
    return run_script("tinyaudio.py", "--model", saved, "--device", "cpu", *files), bad, good


def test_command_transcribes_the_good_files(command, model):
    """Fails if one bad file keeps the others from their text."""
    done, _, good = command
    assert done.stdout.splitlines() == [f"{path}: {model.transcribe(path)}" for path in good]


def test_command_says_one_line_for_each_bad_file(command):
    """Fails if an error is a traceback, names no file, or the exit status says all is well."""
    done, bad, _ = command
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(bad)
    for line, (name, reason) in zip(lines, bad.items(), strict=True):
        assert re.search(f"{name}: .*{reason}", line)


def test_command_help_and_no_model(tmp_path):
    shown = run_script("tinyaudio.py", "-h")
    assert shown.returncode == 0 and "--model" in shown.stdout
    done = run_script("tinyaudio.py", "x.wav", "--model", tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.strip() == f"{tmp_path}: holds no config.json; is it a checkpoint's folder?"


FAKE_SOUNDDEVICE = '''
import os, soundfile

class PortAudioError(Exception):
    pass

class InputStream:
    """Hears a file, in the blocks of 512 samples that a sound card would deliver."""

    def __init__(self, channels, dtype, callback):
        if "HEARD" not in os.environ:
            raise PortAudioError("no default input device")
        self.samples, self.samplerate = soundfile.read(os.environ["HEARD"], dtype=dtype)
        self.callback = callback

    def __enter__(self):
        buffer = self.samples[:512, None].copy()  # one buffer for all blocks, as PortAudio's
        for start in range(0, len(self.samples), 512):
            block = buffer[: len(self.samples) - start]
            block[:] = self.samples[start : start + 512, None]
            self.callback(block, len(block), None, None)
        return self

    def __exit__(self, *_):
        pass
'''


@pytest.fixture
def sounddevice(tmp_path, monkeypatch):
    """A stand-in for the package, and what it hears."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sounddevice.py").write_text(FAKE_SOUNDDEVICE)
    path = tmp_path / "heard.wav"
    soundfile.write(path, noises(0.9)[0].numpy(), SAMPLE_RATE, subtype="FLOAT")
    monkeypatch.setenv("HEARD", str(path))
    return path


def test_the_microphone_is_transcribed(saved, model, sounddevice):
    """Two recordings, each between two presses of Enter, then the end of the input."""
    command = ("tinyaudio.py", "--mic", "--model", saved, "--device", "cpu")
    done = run_script(*command, input="\n\n\n\n")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.count(f"listening ... {model.transcribe(sounddevice)}\n") == 2


@pytest.mark.parametrize("absent", ["package", "device"])
def test_no_microphone_is_one_sentence(saved, sounddevice, monkeypatch, absent):
    if absent == "device":
        monkeypatch.delenv("HEARD")
    else:
        sounddevice.with_name("sounddevice.py").write_text("raise OSError('no PortAudio')")
    done = run_script("tinyaudio.py", "--mic", "--model", saved, input="\n\n")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    expected = {"package": "pip install sounddevice", "device": "no default input device"}
    assert expected[absent] in done.stderr


def test_files_or_the_microphone(saved):
    for arguments in ((), ("--mic", "x.wav")):
        done = run_script("tinyaudio.py", "--model", saved, *arguments)
        assert done.returncode == 2 and "expected audio files, or --mic" in done.stderr
