"""The encoder against transformers' HuBERT and wav2vec 2.0, and against itself alone."""

import json

import pytest
import torch
from conftest import assert_near, randomise, requires
from safetensors.torch import load_file, save_file

from tinyaudio import SAMPLE_RATE, Hubert, HubertConfig, normalise

transformers = requires("transformers")

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
BASE = {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False}
LARGE = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
QUANTISER = {"num_codevectors_per_group": 4, "codevector_dim": 8, "proj_codevector_dim": 8}
VARIANTS = {
    "HubertModel-base": BASE,
    "HubertModel-large": LARGE,
    "HubertModel-plain_projection": BASE | {"feat_proj_layer_norm": False},
    "HubertModel-odd_positional_kernel": BASE | {"num_conv_pos_embeddings": 15},
    "HubertModel-cheap_stem": LARGE | {
        "conv_dim": (16, 24, 32), "conv_kernel": (20, 16, 8), "conv_stride": (10, 8, 4),
        "num_feat_extract_layers": 3,
    },
    "HubertForCTC-base": BASE,
    "HubertForCTC-large": LARGE,
    "Wav2Vec2Model-base": BASE,
    "Wav2Vec2Model-large": LARGE,
    "Wav2Vec2ForCTC-base": BASE,
    "Wav2Vec2ForPreTraining-large": LARGE | QUANTISER,
}  # fmt: skip
WEIGHT = "encoder.layers.1.attention.k_proj.weight"
OLD = ("weight_g", "weight_v")
NEW = ("parametrizations.weight.original0", "parametrizations.weight.original1")


def make(folder, name="HubertModel", **config):
    """A random model of transformers, saved to the folder."""
    cls = getattr(transformers, name)
    model = randomise(cls(cls.config_class(**SMALL | config)))
    model.save_pretrained(folder)
    return model.base_model


def utterances(*seconds) -> tuple[torch.Tensor, torch.Tensor]:
    """Random normalised waveforms (B, T), padded with zeros, and their lengths (B,)."""
    lengths = torch.tensor([int(s * SAMPLE_RATE) for s in seconds])
    noise = torch.randn(len(lengths), int(lengths.max()), generator=torch.manual_seed(1))
    return normalise(noise, lengths), lengths


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_transformers(tmp_path, variant):
    """Fails if a tensor is forgotten, swapped, or goes through another formula."""
    theirs = make(tmp_path, variant.split("-")[0], **VARIANTS[variant])
    waveforms, _ = utterances(0.7, 0.7)
    hidden, frames = Hubert.from_pretrained(tmp_path)(waveforms)
    assert_near(hidden, theirs(waveforms).last_hidden_state)
    assert frames.tolist() == [hidden.shape[1]] * 2


@pytest.mark.parametrize("variant", [BASE, LARGE], ids=["base", "large"])
def test_batch_equals_single(tmp_path, variant):
    """Fails if padding leaks: through norms, positional convolution or attention."""
    make(tmp_path, **variant)
    model = Hubert.from_pretrained(tmp_path)
    waveforms, lengths = utterances(0.3, 12.0, 1.73, 0.31, 5.03)
    waveforms[torch.arange(waveforms.shape[1]) >= lengths[:, None]] = 9.0  # of any value
    hidden, frames = model(waveforms, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, alone_frames = model(waveforms[row : row + 1, :length])
        assert frames[row] == alone_frames[0] == alone.shape[1] == model.frame_length(length)
        assert_near(hidden[row, : frames[row]], alone[0])


@pytest.mark.parametrize("name", ["HubertModel", "Wav2Vec2Model"])
def test_masked_batch_equals_transformers(tmp_path, name):
    """Fails if our padding mask is not the one that the large models were trained with."""
    theirs = make(tmp_path, name, **LARGE)
    waveforms, lengths = utterances(0.3, 2.0, 1.1)
    mask = torch.arange(waveforms.shape[1]) < lengths[:, None]
    expected = theirs(waveforms, attention_mask=mask.long()).last_hidden_state
    hidden, frames = Hubert.from_pretrained(tmp_path)(waveforms, lengths)
    for row, count in enumerate(frames):
        assert_near(hidden[row, :count], expected[row, :count])


@pytest.mark.parametrize("spelling", [OLD, NEW], ids=["old", "new"])
@pytest.mark.parametrize("name", ["HubertModel", "HubertForCTC"])
def test_positional_convolution_spellings(tmp_path, name, spelling):
    """Fails if the weight norm's g and v are lost under either of their names."""
    theirs = make(tmp_path, name, **BASE)
    state = {}
    for key, tensor in load_file(tmp_path / "model.safetensors").items():
        for old, new, wanted in zip(OLD, NEW, spelling, strict=True):
            key = key.replace(old, wanted).replace(new, wanted)
        state[key] = tensor
    assert sum(key.endswith(spelling) for key in state) == 2
    save_file(state, tmp_path / "model.safetensors")
    waveforms, _ = utterances(0.5)
    hidden, _ = Hubert.from_pretrained(tmp_path)(waveforms)
    assert_near(hidden, theirs(waveforms).last_hidden_state)


@pytest.mark.parametrize("form", ["sharded", "bin", "legacy bin", "sharded bin"])
def test_file_formats(tmp_path, form):
    """Fails if a checkpoint cannot be read as the Hub has it: in shards, or from old files."""
    theirs = make(tmp_path, **LARGE)
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    if form == "sharded":
        theirs.save_pretrained(tmp_path, max_shard_size="20KB")
        assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    elif form == "sharded bin":
        for i, parity in enumerate((0, 1), start=1):
            part = dict(list(state.items())[parity::2])
            torch.save(part, tmp_path / f"pytorch_model-0000{i}-of-00002.bin")
    else:
        zipped = form == "bin"
        path = tmp_path / "pytorch_model.bin"
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
    waveforms, _ = utterances(0.5)
    hidden, _ = Hubert.from_pretrained(tmp_path)(waveforms)
    assert_near(hidden, theirs(waveforms).last_hidden_state)


def test_only_the_model_is_read(tmp_path):
    """Fails if other tensors beside the model, as some repositories hold them, are taken for it."""
    make(tmp_path, **BASE)
    save_file({"step": torch.ones(1)}, tmp_path / "optimizer.safetensors")
    Hubert.from_pretrained(tmp_path)


def test_loaded_model_is_frozen(tmp_path):
    make(tmp_path, **BASE)
    model = Hubert.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert not model.training
    assert {(p.dtype, p.requires_grad) for p in model.parameters()} == {(torch.bfloat16, False)}


STEMS = {
    "published": ((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), 400),
    "cheap": ((20, 16, 8), (10, 8, 4), 730),
}


@pytest.mark.parametrize("stem", STEMS)
def test_frame_length(stem):
    """Fails if the one length formula disagrees with the convolutions it describes."""
    kernel, stride, shortest = STEMS[stem]
    config = SMALL | LARGE | {
        "conv_dim": (16,) * len(kernel), "conv_kernel": kernel, "conv_stride": stride,
    }  # fmt: skip
    model = Hubert(HubertConfig(**config)).eval().requires_grad_(False)
    assert model.min_samples == shortest
    lengths = [*range(shortest, shortest + 700, 9), 16_000, 48_123]
    for T in lengths:
        waveform, length = torch.zeros(1, T), torch.tensor([T])
        features, counted = model.feature_extractor(waveform, length)
        assert features.shape[1] == counted.item() == model.frame_length(T)
    assert model.frame_length(torch.tensor(lengths)).tolist() == [*map(model.frame_length, lengths)]
    assert model(torch.zeros(1, shortest))[0].shape[1] == 1
    with pytest.raises(ValueError, match=f"{shortest - 1} samples"):
        model(torch.zeros(1, shortest - 1))
    with pytest.raises(ValueError, match="17 samples"):
        model(torch.zeros(2, 2000), torch.tensor([2000, 17]))


def missing(state):
    return {k: v for k, v in state.items() if k != WEIGHT}


def unexpected(state):
    return state | {"encoder.extra.weight": torch.ones(3)}


def misshaped(state):
    return state | {WEIGHT: torch.ones(3, 5)}


@pytest.mark.parametrize(
    ("edit", "key"),
    [(missing, WEIGHT), (unexpected, "encoder.extra.weight"), (misshaped, WEIGHT)],
)
def test_keys_that_do_not_fit_are_listed(tmp_path, edit, key):
    """Fails if a model is left half random by a file that does not fit it."""
    make(tmp_path, **BASE)
    state = load_file(tmp_path / "model.safetensors")
    save_file(edit(state), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=key):
        Hubert.from_pretrained(tmp_path)


def test_missing_shard(tmp_path):
    """Fails if an interrupted download passes for a whole checkpoint."""
    theirs = make(tmp_path, **BASE)
    (tmp_path / "model.safetensors").unlink()
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    (tmp_path / index["weight_map"][WEIGHT]).unlink()
    with pytest.raises(ValueError, match=WEIGHT):
        Hubert.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "whisper"),
        ("hidden_act", "relu"),
        ("feat_extract_activation", "relu"),
        ("conv_pos_batch_norm", True),
        ("add_adapter", True),
    ],
)
def test_unsupported_config(tmp_path, key, value):
    """Fails if a variant that is computed differently loads without a word."""
    make(tmp_path, **BASE)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=key):
        Hubert.from_pretrained(tmp_path)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        Hubert.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        Hubert.from_pretrained(tmp_path)
    make(tmp_path, **BASE)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="safetensors"):
        Hubert.from_pretrained(tmp_path)


def test_bin_runs_no_code(tmp_path):
    """Fails if a stranger's pickle can call a function when it is read."""
    make(tmp_path, **BASE)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weight": print}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin: .*not only tensors"):
        Hubert.from_pretrained(tmp_path)


@pytest.mark.parametrize("form", ["safetensors", "bin", "legacy bin"])
def test_a_file_that_was_cut_short_is_named(tmp_path, form):
    make(tmp_path, **BASE)
    path = tmp_path / "model.safetensors"
    if form != "safetensors":
        state = load_file(path)
        path.unlink()
        path = tmp_path / "pytorch_model.bin"
        torch.save(state, path, _use_new_zipfile_serialization=form == "bin")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=f"{path.name}: cut short"):
        Hubert.from_pretrained(tmp_path)
