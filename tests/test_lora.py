"""LoRA: its arithmetic, its files, and PEFT as the oracle for both."""

import json

import pytest
import torch
from conftest import assert_near, randomise, requires
from safetensors.torch import load_file, save_file

from lora import apply_lora, load_adapter, lora_layers, merge_lora, save_adapter, unmerge_lora
from tinyaudio import Hubert, Qwen3

transformers, peft = requires("transformers"), requires("peft")
pytestmark = pytest.mark.filterwarnings("ignore")  # of peft and transformers about each other

HUBERT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": (16, 16), "conv_kernel": (10, 4), "conv_stride": (5, 4),
    "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
QWEN3 = {
    "vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 12, "intermediate_size": 48,
}  # fmt: skip
FAMILIES = {
    "HubertModel": (Hubert, HUBERT, ("q_proj", "k_proj"), torch.randn(2, 900)),
    "Qwen3ForCausalLM": (Qwen3, QWEN3, ("q_proj", "v_proj"), torch.arange(20).view(2, 10)),
}


class Pair:
    """A model of ours and its twin in transformers, with the same random weights."""

    def __init__(self, folder, family):
        self.ours_class, config, self.targets, self.inputs = FAMILIES[family]
        cls = getattr(transformers, family)
        self.theirs = randomise(cls(cls.config_class(**config)))
        self.base = folder / "base"
        self.theirs.save_pretrained(self.base)
        self.ours = self.load()

    def load(self):
        return self.ours_class.from_pretrained(self.base, dtype=torch.float32)

    def run(self, model):
        """The outputs that the two have in common: hidden states, or logits."""
        if isinstance(model, Hubert):
            return model(self.inputs)[0]
        if isinstance(model, Qwen3):
            return model.logits(model(input_ids=self.inputs))
        return model(self.inputs)[0]


@pytest.fixture(params=FAMILIES)
def pair(request, tmp_path):
    return Pair(tmp_path, request.param)


def trained(model, targets, r=4, alpha=6.0, seed=5):
    """The model with adapters as if trained: neither A nor B is zero."""
    apply_lora(model, targets, r, alpha)
    for layer in lora_layers(model).values():
        for matrix in (layer.lora_A, layer.lora_B):
            torch.nn.init.normal_(matrix.weight, std=0.3, generator=torch.manual_seed(seed))
            seed += 1
    return model.eval()


def test_new_adapters_change_nothing(pair):
    """Fails if training does not start from the unchanged model."""
    before = pair.run(pair.ours)
    apply_lora(pair.ours, pair.targets, r=4, alpha=8.0, dropout=0.5)
    assert torch.equal(pair.run(pair.ours.train()), before)
    assert len(lora_layers(pair.ours)) == 4


def test_only_adapters_are_trained(pair):
    """Fails if an optimizer step moves the base model, or does not move the adapters."""
    model = pair.ours
    before = {k: v.clone() for k, v in model.state_dict().items()}
    apply_lora(model, pair.targets, r=4, alpha=8.0)
    learning = {k for k, p in model.named_parameters() if p.requires_grad}
    assert learning == {k for k in model.state_dict() if ".lora_" in k}
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    pair.run(model).square().mean().backward()
    optimizer.step()
    after = model.state_dict()
    assert after.keys() - before.keys() == learning
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert all(layer.lora_B.weight.any() for layer in lora_layers(model).values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merging(pair, dtype):
    """Fails if W is not W + (alpha / r) B A, merged twice, or not restored bit for bit."""
    model = trained(pair.ours, pair.targets).to(dtype)
    layers = lora_layers(model).values()
    before = [layer.weight.clone() for layer in layers]
    parameters = [*model.parameters()]
    merge_lora(model)
    merge_lora(model)
    for layer, W in zip(layers, before, strict=True):
        A, B = layer.lora_A.weight.float(), layer.lora_B.weight.float()
        assert torch.equal(layer.weight, (W.float() + 6.0 / 4 * (B @ A)).to(dtype))
    unmerge_lora(model)
    unmerge_lora(model)
    assert all(torch.equal(layer.weight, W) for layer, W in zip(layers, before, strict=True))
    # An optimizer made before must still hold the model's own parameters.
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))


def test_merged_outputs_are_the_same(pair):
    base = pair.run(pair.ours)
    model = trained(pair.ours, pair.targets)
    apart = pair.run(model)
    merge_lora(model)
    assert_near(pair.run(model), apart, 1e-5)
    assert (apart - base).abs().max() > 0.1


def test_unknown_target(pair):
    """Fails if a mistyped target leaves the model without the adapter it was to have."""
    with pytest.raises(ValueError, match="query"):
        apply_lora(pair.ours, ("q_proj", "query"), r=4, alpha=8.0)
    with pytest.raises(ValueError, match="name no linear layer"):
        apply_lora(pair.ours, (), r=4, alpha=8.0)
    assert not lora_layers(pair.ours)


@pytest.mark.parametrize("merged", [False, True])
def test_peft_reads_ours(pair, tmp_path, merged):
    """Fails if an adapter trained here means something else to everybody else."""
    model = trained(pair.ours, pair.targets)
    expected = pair.run(model)
    if merged:
        merge_lora(model)
    save_adapter(model, tmp_path / "adapter", "someone/base")
    theirs = peft.PeftModel.from_pretrained(pair.theirs, tmp_path / "adapter").eval()
    assert_near(pair.run(theirs), expected)
    assert theirs.peft_config["default"].base_model_name_or_path == "someone/base"


@pytest.mark.parametrize(
    ("r", "targets"),
    [
        (4, ["q_proj", "v_proj"]),
        (3, ["k_proj"]),
        (7, ["q_proj", "k_proj", "v_proj"]),
    ],
)
def test_ours_reads_pefts(pair, tmp_path, r, targets):
    """Fails if an adapter from elsewhere gives other outputs here; ours may be merged or apart."""
    config = peft.LoraConfig(r=r, lora_alpha=10, target_modules=targets, init_lora_weights=False)
    theirs = peft.get_peft_model(pair.theirs, config).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    load_adapter(pair.ours, tmp_path / "adapter")
    assert_near(pair.run(pair.ours), pair.run(theirs))
    merge_lora(pair.ours)
    assert_near(pair.run(pair.ours), pair.run(theirs))


def test_round_trip(pair, tmp_path):
    """Fails if saving and loading, into a new model or one with adapters, loses a bit."""
    model = trained(pair.ours, pair.targets)
    save_adapter(model, tmp_path / "adapter")
    expected = pair.run(model)
    new = pair.load()
    load_adapter(new, tmp_path / "adapter")
    assert torch.equal(pair.run(new.eval()), expected)
    ready = trained(pair.load(), pair.targets, seed=99)
    merge_lora(ready)
    load_adapter(ready, tmp_path / "adapter")
    assert_near(pair.run(ready), expected)


@pytest.mark.parametrize(("r", "alpha"), [(4, 60.0), (2, 6.0)])
def test_adapter_of_another_size(pair, tmp_path, r, alpha):
    """Fails if a file's rank or scale is silently replaced by the model's."""
    save_adapter(trained(pair.load(), pair.targets, r, alpha), tmp_path)
    with pytest.raises(ValueError, match=r"alpha|lora_A"):
        load_adapter(trained(pair.ours, pair.targets, r=4, alpha=6.0), tmp_path)


# What PEFT can write beyond y = W x + (alpha / r) B A x.
UNSUPPORTED = {
    "use_dora": True,
    "use_rslora": True,
    "rank_pattern": {"layers.1.self_attn.q_proj": 2},
    "alpha_pattern": {"layers.1.self_attn.q_proj": 2},
    "modules_to_save": ["lm_head"],
    "bias": "all",
    "lora_bias": True,
    "target_modules": r".*\.q_proj",
    "layers_to_transform": [1],
    "trainable_token_indices": [3, 5],
    "target_parameters": ["mlp.up_proj.weight"],
    "layer_replication": [(0, 1), (0, 2)],
    "alora_invocation_tokens": [7, 8],
    "init_lora_weights": "pissa",
}


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_unsupported_adapter(tmp_path, key):
    """Fails if an adapter that is computed differently loads without a word."""
    pair = Pair(tmp_path, "Qwen3ForCausalLM")
    config = {"r": 4, "task_type": "CAUSAL_LM", "target_modules": ["q_proj"]}
    adapter = peft.get_peft_model(pair.theirs, peft.LoraConfig(**config | {key: UNSUPPORTED[key]}))
    adapter.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match="adapter"):
        load_adapter(pair.ours, tmp_path / "adapter")


@pytest.mark.parametrize("init", ["olora", "corda", "loftq", "lora_ga", "pissa_niter_4", "mica"])
def test_start_that_changes_the_base(tmp_path, init):
    """Fails if an adapter to a base model with other weights is put beside ours."""
    pair = Pair(tmp_path, "Qwen3ForCausalLM")
    save_adapter(trained(pair.load(), pair.targets), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"init_lora_weights": init}))
    with pytest.raises(ValueError, match="init_lora_weights"):
        load_adapter(pair.ours, tmp_path)


def test_other_method(tmp_path):
    """Fails if another of PEFT's methods is read as LoRA."""
    pair = Pair(tmp_path, "Qwen3ForCausalLM")
    config = peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[])
    peft.get_peft_model(pair.theirs, config).save_pretrained(tmp_path / "adapter")
    with pytest.raises(ValueError, match="IA3"):
        load_adapter(pair.ours, tmp_path / "adapter")


KEY = "base_model.model.encoder.layers.1.attention.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda state: {k: v for k, v in state.items() if k != KEY}, KEY),
        (lambda state: state | {"base_model.model.extra": torch.ones(1)}, "base_model.model.extra"),
        (lambda state: state | {KEY: torch.ones(4, 5)}, KEY),
        (lambda state: state | {KEY: torch.ones(3, 32)}, KEY),
    ],
    ids=["missing", "unexpected", "mis-shaped", "other rank"],
)
def test_keys_that_do_not_fit_are_listed(tmp_path, change, key):
    """Fails if half an adapter loads without a word."""
    pair = Pair(tmp_path, "HubertModel")
    save_adapter(trained(pair.load(), pair.targets), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)
    with pytest.raises(ValueError, match=key):
        load_adapter(pair.ours, tmp_path)
