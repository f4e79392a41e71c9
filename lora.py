"""LoRA: low-rank updates beside frozen linear layers (Hu et al. 2021, arXiv:2106.09685).

A layer y = W x becomes y = W x + (alpha / r) B A x with A (r, in) random and B (out, r) zero,
so that training starts from the unchanged model. Files are in PEFT's format.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from checkpoints import read_safetensors, save_tensors
from projector import Linear


class LoRALinear(nn.Linear):
    """A frozen linear layer with a trained update of rank r; its weight keeps its name."""

    def __init__(self, base: nn.Linear, r: int, alpha: float, dropout: float):
        nn.Module.__init__(self)  # not Linear's: it would allocate a second weight
        self.in_features, self.out_features = base.in_features, base.out_features
        base.requires_grad_(False)
        self.weight, self.bias = base.weight, base.bias
        device = self.weight.device
        self.r, self.alpha, self.scale = r, alpha, alpha / r
        self.dropout = nn.Dropout(dropout)
        self.lora_A = Linear(self.in_features, r, device)
        self.lora_B = Linear(r, self.out_features, device)
        nn.init.zeros_(self.lora_B.weight)
        self.unmerged_weight: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        if self.unmerged_weight is not None:
            return y
        return y + self.lora_B(self.scale * self.lora_A(self.dropout(x)))  # scaled while narrow

    @torch.no_grad()
    def merge(self) -> None:
        """W becomes W + (alpha / r) B A, once, however often it is called."""
        if self.unmerged_weight is None:
            # Subtracting B A again would not give W back bit for bit, least of all in bf16.
            self.unmerged_weight = self.weight.detach().clone()
            update = self.scale * (self.lora_B.weight.float() @ self.lora_A.weight.float())
            self.weight.copy_(self.weight.float() + update)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the weight of before `merge` back."""
        if self.unmerged_weight is not None:
            self.weight.copy_(self.unmerged_weight)
            self.unmerged_weight = None


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The adapted layers of a model by their path in it."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}


def apply_lora(
    model: nn.Module, targets: tuple[str, ...], r: int, alpha: float, dropout: float = 0.0
) -> None:
    """Replace every nn.Linear whose last name is in `targets` (e.g. "q_proj") by a LoRALinear.

    Raises ValueError where a target names no linear layer of the model.
    """
    found = [
        (parent, name, child)
        for parent in model.modules() for name, child in parent.named_children()
        if name in targets and type(child) in (nn.Linear, Linear)
    ]  # fmt: skip
    if (missing := set(targets) - {name for _, name, _ in found}) or not targets:
        model_name = type(model).__name__
        raise ValueError(f"LoRA targets {sorted(missing)} name no linear layer of {model_name}")
    for parent, name, child in found:
        setattr(parent, name, LoRALinear(child, r, alpha, dropout))


def merge_lora(model: nn.Module) -> None:
    """Fold every adapter into its weight: the same outputs without the extra products."""
    for layer in lora_layers(model).values():
        layer.merge()


def unmerge_lora(model: nn.Module) -> None:
    """Undo `merge_lora`, bit for bit."""
    for layer in lora_layers(model).values():
        layer.unmerge()


def adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """A and B of every adapted layer under PEFT's names."""
    return {
        f"base_model.model.{path}.{matrix}.weight": getattr(layer, matrix).weight
        for path, layer in lora_layers(model).items()
        for matrix in ("lora_A", "lora_B")
    }


def save_adapter(model: nn.Module, folder: str | Path, base_model: str = "") -> None:
    """Write PEFT's adapter_config.json and adapter_model.safetensors for the model's adapters."""
    layers = lora_layers(model)
    first = next(iter(layers.values()))
    targets = sorted({path.split(".")[-1] for path in layers})
    config = {"peft_type": "LORA", "base_model_name_or_path": base_model, "target_modules": targets,
              "r": first.r, "lora_alpha": first.alpha, "lora_dropout": first.dropout.p,
              "bias": "none", "inference_mode": True}  # fmt: skip
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {key: p.detach().cpu().contiguous() for key, p in adapter_tensors(model).items()}
    save_tensors(tensors, folder / "adapter_model.safetensors")


def load_adapter(model: nn.Module, folder: str | Path) -> None:
    """Load an adapter in PEFT's format, ours or PEFT's own; apply it first where none is applied.

    Raises ValueError, naming the keys, where the file does not fit the model, and for variants
    of LoRA that are computed differently (DoRA, ranks by layer, trained biases, ...).
    """
    folder = Path(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    if config.get("peft_type", "LORA") != "LORA":
        raise ValueError(f"{folder}: holds a {config['peft_type']} adapter; expected LORA")
    variants = ("use_dora", "use_rslora", "use_qalora", "rank_pattern", "alpha_pattern",
                "modules_to_save", "alora_invocation_tokens")  # fmt: skip
    used = [key for key in variants if config.get(key)]
    # The other starts (pissa, olora, loftq, ...) belong to a base model with other weights.
    if config.get("init_lora_weights", True) not in (True, False, "gaussian", "orthogonal", "eva"):
        used.append("init_lora_weights")
    if config.get("bias", "none") != "none":
        used.append("bias")
    if isinstance(config["target_modules"], str):
        used.append("a pattern as target_modules")
    if used:
        raise ValueError(f"{folder}: this LoRA uses {', '.join(used)}: not supported")
    if not lora_layers(model):
        names = tuple({target.split(".")[-1] for target in config["target_modules"]})
        apply_lora(model, names, config["r"], config["lora_alpha"], config.get("lora_dropout", 0.0))
    unmerge_lora(model)  # a merged weight would keep the adapter of before
    for layer in lora_layers(model).values():
        if (layer.r, layer.alpha) != (config["r"], config["lora_alpha"]):
            raise ValueError(f"{folder}: the model's adapters have another rank or alpha")
    ours, theirs = adapter_tensors(model), read_safetensors(folder / "adapter_model.safetensors")
    wrong = sorted(ours.keys() ^ theirs.keys())
    wrong += [key for key in ours.keys() & theirs.keys() if ours[key].shape != theirs[key].shape]
    if wrong:
        raise ValueError(f"{folder}: missing, unexpected or mis-shaped keys: {', '.join(wrong)}")
    with torch.no_grad():
        for key, parameter in ours.items():
            parameter.copy_(theirs[key])
