"""Write tests/reference: tiny random models of transformers, and what they compute.

    python tests/make_reference.py

A folder per model (config.json, model.safetensors), and beside it <name>.safetensors with inputs
and outputs. test_reference.py compares ours with them where transformers is not installed.
"""

import shutil
from pathlib import Path

import torch
import transformers
from conftest import randomise
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "reference"
SPEECH = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8, 8, 8), "conv_kernel": (10, 3, 2), "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
    "vocab_size": 8,
}  # fmt: skip
BASE = {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False}
LARGE = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
TEXT = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 24, "max_position_embeddings": 512,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 16,
}  # fmt: skip
MODELS = {
    "hubert-base": ("HubertModel", SPEECH | BASE),
    "hubert-large": ("HubertForCTC", SPEECH | LARGE),
    "wav2vec2": ("Wav2Vec2ForCTC", SPEECH | BASE),
    "qwen3": ("Qwen3ForCausalLM", TEXT | {"head_dim": 8, "tie_word_embeddings": True}),
    "qwen2": ("Qwen2ForCausalLM", TEXT | {"tie_word_embeddings": False}),
    "llama": ("LlamaForCausalLM", TEXT | {"tie_word_embeddings": False, "rope_parameters": LLAMA3}),
}


def speech(model) -> dict[str, torch.Tensor]:
    """Two utterances of unequal length, each computed alone: (T,) -> (F, D)."""
    tensors = {}
    for i, count in enumerate((640, 391)):
        tensors[f"in.{i}"] = torch.randn(count)
        tensors[f"out.{i}"] = model.base_model(tensors[f"in.{i}"][None]).last_hidden_state[0]
    return tensors


def text(model) -> dict[str, torch.Tensor]:
    """Ids (2, 24), their hidden states and logits, and 12 more ids written greedily."""
    ids = torch.randint(model.config.vocab_size, (2, 24))
    output = model(ids, output_hidden_states=True)
    mask = torch.ones_like(ids)  # otherwise transformers takes id 0 for padding
    written = model.generate(ids, attention_mask=mask, max_new_tokens=12, do_sample=False)[:, 24:]
    hidden = output.hidden_states[-1]
    return {"ids": ids, "hidden": hidden, "logits": output.logits, "written": written}


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, (class_name, config) in MODELS.items():
        torch.manual_seed(0)
        cls = getattr(transformers, class_name)
        model = randomise(cls(cls.config_class(**config)))
        model.save_pretrained(FOLDER / name)
        (FOLDER / name / "generation_config.json").unlink(missing_ok=True)
        tensors = speech(model) if "conv_dim" in config else text(model)
        tensors = {key: tensor.contiguous() for key, tensor in tensors.items()}
        metadata = {"made by": f"{class_name} of transformers {transformers.__version__}"}
        save_file(tensors, FOLDER / f"{name}.safetensors", metadata)


if __name__ == "__main__":
    main()
