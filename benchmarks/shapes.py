"""Published model shapes, as their config.json files give them: for plans and benchmarks without
the weights."""

HUBERT_XLARGE = {
    "model_type": "hubert", "hidden_size": 1280, "num_hidden_layers": 48,
    "num_attention_heads": 16, "intermediate_size": 5120, "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": True, "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16,
    "layer_norm_eps": 1e-5, "hidden_act": "gelu",
}  # fmt: skip
HUBERT_LARGE = HUBERT_XLARGE | {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "intermediate_size": 4096,
}
QWEN3_8B = {
    "model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 12288, "vocab_size": 151_936, "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000, "tie_word_embeddings": False, "attention_bias": False,
    "hidden_act": "silu", "eos_token_id": 151_645,
}  # fmt: skip
QWEN3_0_6B = QWEN3_8B | {
    "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
    "intermediate_size": 3072, "tie_word_embeddings": True,
}  # fmt: skip
# For a CPU: the real arithmetic, and enough of it that Python's share does not decide.
SMALL = (
    HUBERT_LARGE | {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6,
                    "intermediate_size": 1536, "conv_dim": [128] * 7},
    QWEN3_0_6B | {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6,
                  "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 1152,
                  "vocab_size": 32_000, "eos_token_id": 31_999},
)  # fmt: skip
SHAPES = {
    "small": SMALL,
    "qwen3-0.6b": (HUBERT_LARGE, QWEN3_0_6B),
    "a40": (HUBERT_XLARGE, QWEN3_8B),
}
