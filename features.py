"""A frozen encoder's outputs, kept on disk: what was heard once need not be heard again.

For runs of several epochs without LoRA on the encoder and without augmentation of the audio. An
output is found again by a digest of its samples, in a folder named by a digest of the encoder's
weights. It is kept in bfloat16, whatever it was computed in.
"""

import atexit
import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from checkpoints import save_tensors
from tinyaudio import TinyAudio

SHARD_BYTES = 256 << 20


def digest(*tensors: Tensor) -> str:
    found = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()


def cache_encoder(model: TinyAudio, folder: Path) -> None:
    """From now on, `model.hear` computes only what is not in the folder yet.

    Outputs are rounded to bfloat16 the first time too, and in evaluation: every epoch sees the
    same. Raises ValueError where the encoder is trained.
    """
    if any(p.requires_grad for p in model.encoder.parameters()):
        raise ValueError("train.encoder_cache: with LoRA on it, the encoder's outputs change")
    folder = folder / digest(*model.encoder.parameters())
    folder.mkdir(parents=True, exist_ok=True)
    model.hear = EncoderCache(model, folder)


class EncoderCache:
    """Stands in for `TinyAudio.hear`."""

    def __init__(self, model: TinyAudio, folder: Path):
        self.compute, self.encoder, self.folder = model.hear, model.encoder, folder
        self.files: dict[Path, safe_open] = {}
        self.places: dict[str, safe_open] = {}  # the shard of each output, by its key
        self.unwritten: dict[str, Tensor] = {}
        self.look()
        atexit.register(self.write)  # kill -9 costs a shard at the most

    @torch.inference_mode(False)
    @torch.no_grad()
    def __call__(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        keys = [digest(row[:n]) for row, n in zip(waveforms, lengths.tolist(), strict=True)]
        unknown = set(keys) - self.places.keys() - self.unwritten.keys()
        if new := [i for i, key in enumerate(keys) if key in unknown]:
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
        longest = self.encoder.frame_length(waveforms.shape[1])
        padded = nn.functional.pad(padded, (0, 0, 0, longest - padded.shape[1]))
        frames = self.encoder.frame_length(lengths).to(weight.device)
        return padded.to(weight.device, weight.dtype), frames

    def find(self, key: str) -> Tensor:
        """One utterance's frames (F, D)."""
        return self.unwritten[key] if key in self.unwritten else self.places[key].get_tensor(key)

    def look(self) -> None:
        """Open the shards that are new in the folder, those of other ranks and runs too."""
        for path in set(self.folder.glob("*.safetensors")) - self.files.keys():
            try:
                file = self.files[path] = safe_open(path, "pt")
            except SafetensorError as error:
                raise ValueError(f"{path}: damaged ({error}); remove it") from None
            self.places |= dict.fromkeys(file.keys(), file)

    def write(self) -> None:
        """What has gathered, as a shard named by what it holds."""
        if not self.unwritten:
            return
        name = hashlib.blake2b("".join(self.unwritten).encode(), digest_size=16).hexdigest()
        path = self.folder / f"{name}.safetensors"
        save_tensors(self.unwritten, path)
        self.look()
        self.unwritten = {}
