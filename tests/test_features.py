"""The encoder cache: what was heard once is not heard again, and sounds the same."""

import pytest
import torch
from conftest import run_script
from test_tinyaudio import TEXTS, make, noises
from test_train import metrics, write_config

from data import pad
from features import cache_encoder


def frozen():
    model = make()
    model.encoder.requires_grad_(False)
    return model.train()


def counting(model) -> list[int]:
    """The number of rows of each call of the encoder from now on."""
    rows, encoder = [], model.encoder.forward

    def forward(waveforms, lengths):
        rows.append(len(waveforms))
        return encoder(waveforms, lengths)

    model.encoder.forward = forward
    return rows


def test_a_recording_is_heard_once(tmp_path):
    """In any batch, with any padding, by the model that trains and by the one that transcribes."""
    model, plain = frozen(), frozen()
    rows = counting(model)
    cache_encoder(model, tmp_path)
    waveforms = noises(0.5, 2.0, 1.0, 0.7, 1.5)
    first = [model(pad(waveforms[:2], TEXTS[:2])), model(pad(waveforms[2:], TEXTS[2:]))]
    again = model(pad(waveforms, TEXTS))
    assert rows == [2, 3]
    model.transcribe([w.clone() for w in waveforms])
    assert rows == [2, 3]
    torch.testing.assert_close(again[0], first[0][0] + first[1][0], rtol=1e-5, atol=1e-4)
    assert again[0].item() == pytest.approx(plain(pad(waveforms, TEXTS))[0].item(), rel=0.01)
    again[0].backward()
    assert model.projector.mlp.up_proj.weight.grad.any()


def test_what_was_transcribed_first_can_be_trained_on(tmp_path):
    """Fails if a tensor of inference mode is kept, which autograd refuses."""
    model = frozen()
    cache_encoder(model, tmp_path)
    model.transcribe(noises(1.0, 2.0))
    model(pad(noises(1.0, 2.0), TEXTS[:2]))[0].backward()


def test_shards_outlast_the_process_and_fit_one_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr("features.SHARD_BYTES", 30_000)
    waveforms, model = noises(0.5, 2.0, 1.0, 0.7, 1.5), frozen()
    cache_encoder(model, tmp_path)
    expected = model(pad(waveforms, TEXTS))[0].item()
    model.hear.write()
    assert list(tmp_path.glob("*/*.safetensors"))
    later = frozen()
    rows = counting(later)
    cache_encoder(later, tmp_path)
    assert later(pad(waveforms, TEXTS))[0].item() == expected and rows == []
    other = frozen()
    with torch.no_grad():
        other.encoder.encoder.layer_norm.bias += 0.01
    rows = counting(other)
    cache_encoder(other, tmp_path)
    other(pad(waveforms, TEXTS))
    assert rows == [5]


def test_a_run_with_the_cache(corpus, tmp_path):
    """The same losses, to bfloat16, as the run without; and a sentence where LoRA is on."""
    config = write_config(tmp_path, corpus, steps=4)
    common = ["model.encoder_lora.r=0", "augment.speed=[]", "augment.noise=[]", "augment.gain=0"]
    cached = [f"train.encoder_cache={tmp_path / 'cache'}", f"train.out={tmp_path / 'cached'}"]
    assert run_script("train.py", "--config", config, *common).returncode == 0
    done = run_script("train.py", "--config", config, *common, *cached)
    assert done.returncode == 0, done.stderr
    pairs = zip(metrics(tmp_path / "run"), metrics(tmp_path / "cached"), strict=True)
    for plain, kept in pairs:
        if "loss" in plain:
            assert kept["loss"] == pytest.approx(plain["loss"], rel=0.02)
    assert sum(file.stat().st_size for file in (tmp_path / "cache").glob("*/*")) > 100_000
    for changes, sentence in ((common[1:], "with LoRA on it"), (common[:1], "with augmentation")):
        done = run_script("train.py", "--config", config, *changes, *cached)
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith(f"train.encoder_cache: {sentence}"), done.stderr
    done = run_script("train.py", "--config", config, *common, *cached, "--dry-run")
    assert "encoder cache: 0.09 GB for each hour" in done.stdout
