"""Published decoders and projectors as shapes without weights: what each costs, counted offline.

    python -m course.shapes [--stack 3 5 10] [--hidden 2048 8192]

Hours and memory are those that `train.py --dry-run` forecasts for configs/a40.yaml with them. Each
shape's config.json is left in runs/shapes/, with the tiny tokenizer: there --dry-run finds what it
needs where no network is.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import configs
from benchmarks.shapes import HUBERT_LARGE, HUBERT_XLARGE, QWEN3_0_6B, QWEN3_8B
from plan import arithmetic, memory
from tinyaudio import TinyAudio
from train import Config

ROOT = Path(__file__).parents[1]
FOLDER = Path("runs") / "shapes"
SHAPES = {
    "hubert-large": HUBERT_LARGE,
    "hubert-xlarge": HUBERT_XLARGE,
    "qwen3-0.6b": QWEN3_0_6B,
    "qwen3-1.7b": QWEN3_0_6B | {"hidden_size": 2048, "intermediate_size": 6144},
    "qwen3-4b": QWEN3_8B
    | {"hidden_size": 2560, "intermediate_size": 9728, "tie_word_embeddings": True},
    "qwen3-8b": QWEN3_8B,
}
BYTES = 2  # of a bfloat16 number


def write_shapes() -> None:
    """runs/shapes/NAME/: what --dry-run takes for a checkpoint's folder."""
    for name, shape in SHAPES.items():
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        (FOLDER / name / "config.json").write_text(json.dumps(shape, indent=2) + "\n")
        shutil.copy(ROOT / "models" / "tiny-qwen3" / "tokenizer.json", FOLDER / name)


def plan(decoder: str, *settings: str) -> tuple[TinyAudio, str]:
    """configs/a40.yaml with this decoder and these settings: (the model, its hours and memory)."""
    pair = f"model.encoder={FOLDER / 'hubert-xlarge'}", f"model.decoder={FOLDER / decoder}"
    cfg = configs.read_config(Config, ROOT / "configs" / "a40.yaml", [*pair, *settings])
    model = TinyAudio.from_config(cfg.model, weights=False)
    rate = cfg.plan.tflops * 1e12 * cfg.plan.utilisation
    hours = cfg.train.steps * arithmetic(model, cfg) / rate / 3600
    return model, f"{hours:8.1f} h{sum(memory(model, cfg).values()) / 1e9:7.1f} GB"


def decoders() -> Iterable[str]:
    """Rows: parameters, those of the embedding, bytes of cache for a token with heads shared and
    not shared, hours and memory of the run."""
    yield "decoder        parameters    embedding    cache  unshared   a40 run    memory"
    for name in (name for name in SHAPES if name.startswith("qwen3")):
        model, cost = plan(name)
        cfg, decoder = model.decoder.cfg, model.decoder
        embedding = decoder.model["embed_tokens"].weight.numel()
        frozen = sum(p.numel() for p in decoder.parameters() if not p.requires_grad)
        head = 2 * cfg.num_hidden_layers * cfg.head_dim * BYTES
        cache, unshared = head * cfg.num_key_value_heads, head * cfg.num_attention_heads
        yield f"{name:10}{frozen:15,}{embedding:13,}{cache:9,}{unshared:10,}{cost}"


def projectors(stacks: list[int], widths: list[int]) -> Iterable[str]:
    """Rows: frames in a token, width of the hidden layer, parameters, tokens a second."""
    yield "stack  hidden     projector   tokens a second   a40 run    memory"
    for k in stacks:
        for hidden in widths:
            settings = f"model.stack={k}", f"model.projector_hidden={hidden}"
            model, cost = plan("qwen3-8b", *settings)
            size = sum(p.numel() for p in model.projector.parameters())
            rate = model.projector.token_length(model.encoder.frame_length(60 * 16_000)) / 60
            yield f"{k:5}{hidden:8}{size:14,}{rate:18.1f}{cost}"


@configs.plain_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    several = {"type": configs.positive, "nargs": "+"}
    parser.add_argument("--stack", **several, default=[3, 5, 10], help="values of k")
    parser.add_argument("--hidden", **several, default=[2048, 8192], help="widths")
    args = parser.parse_args()
    write_shapes()
    print(*decoders(), "", *projectors(args.stack, args.hidden), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
