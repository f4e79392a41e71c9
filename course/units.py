"""What masked prediction learns: HuBERT (Hsu et al. 2021, arXiv:2106.07447) in minutes.

    python -m course.units

No text is read. k-means over MFCCs gives every frame of 20 ms a unit; a small HuBERT then learns to
name the units of frames that are hidden from it. Shape letters: see tinyaudio.py; K units.
"""

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audio import SAMPLE_RATE, load_audio
from configs import plain_errors, positive
from course.clusters import Clusters, Task, without_learning
from course.drawing import GUESSES, draw_accuracy, draw_units
from data import Batches, DataConfig, load_source, pad
from tinyaudio import Hubert, HubertConfig
from train import TrainConfig, learning_rate

SMALL = HubertConfig(
    hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512,
    conv_dim=(64, 128, 128), conv_kernel=(160, 8, 8), conv_stride=(20, 4, 4), conv_bias=True,
    feat_extract_norm="group", do_stable_layer_norm=False,  # as HuBERT-base
    num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=8,
)  # fmt: skip
PEAK, WARMUP = 1.5e-3, 100  # of the learning rate; steps to it


class MaskedPredictor(nn.Module):
    """HuBERT with an embedding in place of hidden frames, and a layer that names units."""

    def __init__(self, units: int):
        super().__init__()
        self.hubert, self.head = Hubert(SMALL), nn.Linear(SMALL.hidden_size, units)
        self.hidden_frame = nn.Parameter(0.1 * torch.randn(SMALL.hidden_size))
        # HuBERT's filters take many steps to form; these begin as tones along a mel scale.
        conv = self.hubert.feature_extractor.conv_layers[0].conv
        mel = torch.linspace(*torch.tensor([100 / 700, 7000 / 700]).log1p(), conv.out_channels)
        hz, n = 700 * mel.expm1()[:, None], conv.kernel_size[0]
        tones = torch.cos(2 * torch.pi * hz * torch.arange(n) / SAMPLE_RATE) * torch.hann_window(n)
        tones = F.normalize(tones) * hz / 1000  # speech has less energy in high tones
        conv.weight.data.copy_(tones[:, None])

    def forward(self, task: Task) -> Tensor:
        """Logits of units (B, F, K)."""
        x, frames = self.hubert.feature_extractor(task.waveforms, task.lengths)
        x = self.hubert.feature_projection(x)
        x = torch.where(task.hidden[..., None], self.hidden_frame, x)
        return self.head(self.hubert.encoder(x, frames))


@torch.no_grad()
def score(model: MaskedPredictor, tasks: list[Task]) -> dict[str, Tensor]:
    """Whether each hidden frame is named rightly (1 or 0), by the model and without learning, and
    its distance from a visible one; `visible` is the model at visible frames."""
    rows = []
    for task in tasks:
        guesses = without_learning(task) | {"model": model(task).argmax(-1)}
        distance = guesses.pop("distance")[task.hidden]
        row = {name: (guess == task.units)[task.hidden] for name, guess in guesses.items()}
        visible = (guesses["model"] == task.units)[task.visible]
        rows.append(row | {"distance": distance, "visible": visible})
    return {key: torch.cat([row[key].float() for row in rows]) for key in rows[0]}


def train(model: MaskedPredictor, clusters: Clusters, stream, steps: int, dev: list[Task]) -> list:
    """Cross-entropy at hidden frames only; returns (step, accuracy on dev) now and then."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    schedule, points = TrainConfig(steps=steps, warmup=WARMUP), []
    for step in range(steps + 1):
        if step % max(1, steps // 18) == 0:
            points.append((step, score(model, dev)["model"].mean().item()))
            print(f"step {step:5}   right at hidden frames: {points[-1][1]:.1%}", flush=True)
        if step < steps:
            task = clusters.task(next(stream)[1])
            F.cross_entropy(model(task)[task.hidden], task.units[task.hidden]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.param_groups[0]["lr"] = PEAK * learning_rate(step, schedule)
            optimizer.step()
            optimizer.zero_grad()
    return points


@plain_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="espeak:train:7500", help="a manifest, or espeak:...")
    parser.add_argument("--dev", default="espeak:dev:60", help="what the accuracy is measured on")
    parser.add_argument("--units", type=positive, default=32)
    parser.add_argument("--steps", type=positive, default=1800)
    parser.add_argument("--audio", default="samples/1.wav", help="the recording in units.png")
    parser.add_argument("--out", type=Path, default=Path("runs/units"), help="the pictures' folder")
    args = parser.parse_args()
    waveform = load_audio(args.audio)  # before the work: it may not be there
    torch.manual_seed(0)
    model = MaskedPredictor(args.units)
    clusters, cfg = Clusters(model.hubert), DataConfig(batch_seconds=16.0)
    stream = Batches(load_source(args.data), cfg, seed=0).stream({})
    counts = clusters.fit([next(stream)[1] for _ in range(30)], args.units)
    held_out = Batches(load_source(args.dev), cfg, seed=0)
    dev = [clusters.task(batch) for _ in range(3) for batch, _ in held_out.loader(epoch=0)]
    points = train(model, clusters, stream, args.steps, dev)
    found = score(model, dev)
    chance = (counts.max() / counts.sum()).item()
    print(f"{len(found['model']):,} hidden frames of {args.dev}, named rightly by")
    for name, what in GUESSES.items():
        print(f"  {what:44}{found[name].mean():6.1%}")
    print(f"  {f'always the most frequent of {args.units} units':44}{chance:6.1%}")
    print(f"visible ones, by the model{found['visible'].mean():26.1%}")
    torch.manual_seed(1)  # what of it is hidden
    task = clusters.task(pad([waveform], [""]))
    guess = model(task).argmax(-1)
    draw_units(args.out / "units.png", waveform, model.hubert, task, guess, args.units)
    draw_accuracy(args.out / "masked.png", points, chance, found)


if __name__ == "__main__":
    sys.exit(main())
