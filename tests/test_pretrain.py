"""Pretraining the encoder: an interruption costs nothing but the steps since the last save."""

import pytest
import torch
from safetensors.torch import load_file

import pretrain


def weights(folder) -> dict:
    return load_file(folder / "model.safetensors")


def test_an_interrupted_encoder_is_the_same_in_the_end(corpus, tmp_path, monkeypatch):
    """Fails if weights, moments, schedule, masks or the place in the data are lost."""
    monkeypatch.setattr(pretrain, "SAVE_EVERY", 2)

    def train(folder, resume=False):
        source = (str(corpus),)
        pretrain.train_hubert(folder, source, (), source, steps=5, lr=1e-3, resume=resume)

    train(tmp_path / "whole")
    assert not (tmp_path / "whole" / "progress").exists()
    save = pretrain.save_progress

    def save_and_stop(folder, model, optimizer, step, cursor):
        save(folder, model, optimizer, step, cursor)
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "save_progress", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped")
    monkeypatch.setattr(pretrain, "save_progress", save)
    early = weights(tmp_path / "stopped")
    train(tmp_path / "stopped", resume=True)
    whole, stopped = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[key], stopped[key]) for key in whole)
    assert any(not torch.equal(early[key], stopped[key]) for key in whole)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train(tmp_path / "whole", resume=True)
