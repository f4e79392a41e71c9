"""Published encoders as shapes without weights: what the a40 run costs with each, counted offline.

python -m course.encoders
"""

import json
import sys

from benchmarks.shapes import HUBERT_LARGE, HUBERT_XLARGE
from configs import plain_errors
from course.shapes import FOLDER, plan, write_shapes
from pretrain import MODELS

HUBERT_BASE = HUBERT_XLARGE | {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "conv_bias": False, "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
}  # fmt: skip
ENCODERS = {
    "tiny-hubert": json.loads((MODELS / "tiny-hubert" / "config.json").read_text()),
    "hubert-base": HUBERT_BASE, "hubert-large": HUBERT_LARGE, "hubert-xlarge": HUBERT_XLARGE,
}  # fmt: skip


@plain_errors
def main() -> None:
    write_shapes()  # the decoder's, and those of the large encoders
    print("encoder         width  layers     frozen       LoRA    projector   a40 run    memory")
    for name, shape in ENCODERS.items():
        (FOLDER / name).mkdir(exist_ok=True)
        (FOLDER / name / "config.json").write_text(json.dumps(shape, indent=2) + "\n")
        model, cost = plan("qwen3-8b", f"model.encoder={FOLDER / name}")
        frozen, lora = (
            sum(p.numel() for p in model.encoder.parameters() if p.requires_grad == trained)
            for trained in (False, True)
        )
        projector = sum(p.numel() for p in model.projector.parameters())
        print(f"{name:13}{shape['hidden_size']:8}{shape['num_hidden_layers']:8}"
              f"{frozen:13,}{lora:11,}{projector:13,}{cost}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
