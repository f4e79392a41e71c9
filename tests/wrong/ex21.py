"""Plausible wrong solutions of exercise 21, each with its mistake as its name."""

from lora import lora_layers

MATRICES = ("lora_A", "lora_B")


def no_prefix(model):
    return {
        f"{path}.{matrix}.weight": getattr(layer, matrix).weight
        for path, layer in lora_layers(model).items()
        for matrix in MATRICES
    }


def half_of_the_prefix(model):
    return {f"base_model.{name}": tensor for name, tensor in no_prefix(model).items()}


def right(model):
    return {f"base_model.model.{name}": tensor for name, tensor in no_prefix(model).items()}


def name_in_memory_instead_of_the_file(model):
    return {
        name.replace(".weight", ".default.weight"): tensor for name, tensor in right(model).items()
    }


def without_weight(model):
    return {name.removesuffix(".weight"): tensor for name, tensor in right(model).items()}


def last_name_alone(model):
    return {
        f"base_model.model.{path.split('.')[-1]}.{matrix}.weight": getattr(layer, matrix).weight
        for path, layer in lora_layers(model).items()
        for matrix in MATRICES
    }


def a_and_b_exchanged(model):
    tensors = right(model)
    other = {"lora_A": "lora_B", "lora_B": "lora_A"}
    return {
        name: tensors[name.replace(matrix, other[matrix])]
        for name in tensors
        for matrix in MATRICES
        if matrix in name
    }


def base_weights_too(model):
    base = {
        f"base_model.model.{path}.weight": layer.weight
        for path, layer in lora_layers(model).items()
    }
    return base | right(model)


def copies(model):
    return {name: tensor.detach().clone() for name, tensor in right(model).items()}


WRONG = [no_prefix, half_of_the_prefix, name_in_memory_instead_of_the_file, without_weight,
         last_name_alone, a_and_b_exchanged, base_weights_too, copies]  # fmt: skip
