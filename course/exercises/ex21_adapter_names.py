"""Exercise 21: an adapter under PEFT's names. Class 4.

What was trained is small and goes into a file of its own. Under the names that PEFT gives its
tensors, other people's programs can load it onto the same base model, and ours can load theirs.
"""

from torch import Tensor, nn


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The matrices A and B of every adapted layer, by their names in PEFT's files.

    About 5 lines. lora_layers(model) (`from lora import lora_layers`) gives the adapted layers as
    a dict of path -> layer; A of the layer at encoder.layers.0.attention.q_proj is called
    base_model.model.encoder.layers.0.attention.q_proj.lora_A.weight. Give the parameters
    themselves and no copies: load_adapter writes into them.
    """
    raise NotImplementedError("Exercise 21")
