"""Every family against stored results of transformers, which need not be installed.

`make_reference.py` wrote the checkpoints and results in reference/.
"""

from pathlib import Path

import pytest
import torch
from conftest import assert_near
from safetensors.torch import load_file

from tinyaudio import Hubert, Qwen3

FOLDER = Path(__file__).parent / "reference"


@pytest.mark.parametrize("name", ["hubert-base", "hubert-large", "wav2vec2"])
def test_encoder(name):
    """Fails if the encoder computes another function, or padding leaks between the two rows."""
    model = Hubert.from_pretrained(FOLDER / name)
    expected = load_file(FOLDER / f"{name}.safetensors")
    waveforms = [expected["in.0"], expected["in.1"]]
    lengths = torch.tensor([len(w) for w in waveforms])
    batch = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
    hidden, frames = model(batch, lengths)
    for i, count in enumerate(frames):
        assert_near(hidden[i, :count], expected[f"out.{i}"])


@pytest.mark.parametrize("name", ["qwen3", "qwen2", "llama"])
def test_decoder(name):
    """Fails if the decoder computes another function, or writes another text."""
    model = Qwen3.from_pretrained(FOLDER / name, dtype=torch.float32)
    expected = load_file(FOLDER / f"{name}.safetensors")
    hidden = model(input_ids=expected["ids"])
    assert_near(hidden, expected["hidden"])
    assert_near(model.logits(hidden), expected["logits"])
    assert model.generate(expected["ids"], 12).tolist() == expected["written"].tolist()
