"""A frozen encoder's outputs, kept on disk: what was heard once need not be heard again.

For runs of several epochs without LoRA on the encoder and without augmentation of the audio. An
output is found again by a digest of its samples, and in a folder named by a digest of the encoder's
weights, so neither can be mistaken for another.
"""

import atexit
import hashlib
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tinyaudio import TinyAudio

SHARD_BYTES = 256 << 20


def digest(*tensors: Tensor) -> str:
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()


def remember_outputs(model: TinyAudio, folder: Path, rank: int = 0) -> None:
    """From now on, `model.hear` computes only what is not in the folder yet.

    Outputs are rounded to bfloat16, the first time too: every epoch sees the same. Raises
    ValueError where the encoder is trained.
    """
    if any(p.requires_grad for p in model.encoder.parameters()):
        raise ValueError("train.encoder_cache: with LoRA on it, the encoder's outputs change")
    folder = folder / digest(*model.encoder.parameters())
    folder.mkdir(parents=True, exist_ok=True)
    model.hear = Memory(model, folder, rank)


class Memory:
    """Stands in for `TinyAudio.hear`."""

    def __init__(self, model: TinyAudio, folder: Path, rank: int):
        self.compute, self.encoder, self.folder, self.rank = model.hear, model.encoder, folder, rank
        self.files = [safe_open(path, "pt") for path in sorted(folder.glob("*.safetensors"))]
        self.places = {key: file for file in self.files for key in file.keys()}  # noqa: SIM118
        self.unwritten: dict[str, Tensor] = {}
        atexit.register(self.write)  # kill -9 costs a shard at the most

    @torch.inference_mode(False)
    @torch.no_grad()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        keys = [digest(row[:n]) for row, n in zip(waveforms, lengths.tolist(), strict=True)]
        known = self.places.keys() | self.unwritten.keys()
        if new := [i for i, key in enumerate(keys) if key not in known]:
            few = lengths[new]
            hidden, frames = self.compute(waveforms[new, : int(few.max())], few)
            for i, row, count in zip(new, hidden, frames.tolist(), strict=True):
                self.unwritten[keys[i]] = row[:count].to("cpu", torch.bfloat16, copy=True)
        rows = [self.find(key) for key in keys]
        if sum(row.nbytes for row in self.unwritten.values()) > SHARD_BYTES:
            self.write()
        weight = next(self.encoder.parameters())
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        # As many frames as the encoder would have given, so that dropout draws the same.
        frames = self.encoder.frame_length(waveforms.shape[1])
        padded = nn.functional.pad(padded, (0, 0, 0, frames - padded.shape[1]))
        return padded.to(weight.device, weight.dtype), self.encoder.frame_length(lengths)

    def find(self, key: str) -> Tensor:
        """One utterance's frames (F, D)."""
        return self.unwritten[key] if key in self.unwritten else self.places[key].get_tensor(key)

    def write(self) -> None:
        """What has gathered, as a shard."""
        if not self.unwritten:
            return
        path = self.folder / f"{self.rank}-{len(self.files):06}.safetensors"
        save_file(self.unwritten, path.with_suffix(".unfinished"))
        path.with_suffix(".unfinished").rename(path)
        self.files.append(safe_open(path, "pt"))
        self.places |= dict.fromkeys(self.unwritten, self.files[-1])
        self.unwritten = {}
