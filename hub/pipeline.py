"""transformers' pipeline for a published Tiny Audio model, which runs the code in code/:

pipeline("automatic-speech-recognition", model="you/my-model", trust_remote_code=True)
"""

import importlib
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import snapshot_download
from transformers import Pipeline, PreTrainedConfig, PreTrainedModel


class TinyAudioConfig(PreTrainedConfig):
    """config.json, as transformers wants to read it."""

    model_type = "tiny_audio"


class TinyAudioModel(PreTrainedModel):
    """A shell for transformers: the model is its `recogniser`, a tinyaudio.TinyAudio."""

    config_class = TinyAudioConfig

    @classmethod
    def from_pretrained(cls, name, *_, config=None, dtype=None, torch_dtype=None, **options):
        """From a folder or a Hub id, onto the CPU. Without a torch.dtype, in the one that suits the
        fastest device of this machine."""
        folder = Path(name)
        if not folder.is_dir():
            known = ("revision", "token", "cache_dir", "local_files_only")
            found = {key: options[key] for key in known if key in options}
            folder = Path(snapshot_download(name, **found))
        model = cls(config or TinyAudioConfig.from_pretrained(folder))
        code = import_code(folder)
        dtype = dtype or torch_dtype
        if not isinstance(dtype, torch.dtype):
            dtype = code.inference_dtype(code.pick_device())
        model.recogniser = code.TinyAudio.from_pretrained(folder, device="cpu", dtype=dtype)
        return model

    def save_pretrained(self, *_, **__):
        raise NotImplementedError("the published repository is the saved model: copy its folder")


def import_code(folder: Path):
    """The module tinyaudio in `folder`/code, whatever else in this process has such names."""
    names = [path.stem for path in (folder / "code").iterdir()]
    others = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(folder / "code"))
    try:
        return importlib.import_module("tinyaudio")
    finally:
        sys.path.pop(0)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(others)


class TinyAudioPipeline(Pipeline):
    """Recordings of any length -> {"text": ...}: a path, a URL, the bytes of a file, samples at
    16 kHz, {"array": samples, "sampling_rate": rate}, a list of these, or an iterator."""

    _load_tokenizer = _load_processor = _load_feature_extractor = False
    _load_image_processor = _load_video_processor = False

    def __init__(self, *args, dtype=None, **options):
        super().__init__(*args, **options)
        if self.device.type == "cpu" and not isinstance(dtype, torch.dtype):
            self.model.float()  # what was loaded for a GPU, and is not wanted there

    def __call__(self, inputs, **parameters):
        """`beams` and `max_new_tokens` are TinyAudio.transcribe's."""
        forward = self._forward_params | self._sanitize_parameters(**parameters)[1]
        if isinstance(inputs, Iterator):
            return (self.run_single([recording], {}, forward, {})[0] for recording in inputs)
        many = isinstance(inputs, (list, tuple))
        texts = self.run_single(list(inputs) if many else [inputs], {}, forward, {})
        return texts if many else texts[0]

    def _sanitize_parameters(self, return_timestamps=False, batch_size=None, num_workers=None,
                             chunk_length_s=None, stride_length_s=None, **transcribe):  # fmt: skip
        """Long recordings are cut and like lengths batched anyway: of what other pipelines take,
        batch_size, num_workers and chunk_length_s change nothing."""
        if return_timestamps:
            raise ValueError("return_timestamps: this model writes words alone")
        if unknown := sorted(transcribe.keys() - {"beams", "max_new_tokens"}):
            raise TypeError(f"unknown: {', '.join(unknown)}; known: beams, max_new_tokens")
        return {}, transcribe, {}

    def preprocess(self, inputs):
        return [readable(recording) for recording in inputs]

    def _forward(self, recordings, **parameters):
        return self.model.recogniser.transcribe(recordings, **parameters)

    def postprocess(self, texts):
        return [{"text": text} for text in texts]


def readable(recording):
    """What load_audio takes, from what transformers' pipelines take. Raises ValueError."""
    rate = 16_000
    if isinstance(recording, dict):
        samples = next((recording[key] for key in ("array", "raw") if key in recording), None)
        if samples is None or "sampling_rate" not in recording:
            raise ValueError('a dict must be {"array": samples, "sampling_rate": rate}')
        recording, rate = np.asarray(samples), recording["sampling_rate"]
    if isinstance(recording, torch.Tensor):
        recording = recording.detach().cpu().float().numpy()
    if isinstance(recording, np.ndarray):
        channels_first = recording.ndim == 2 and recording.shape[0] < recording.shape[1]
        return recording.T if channels_first else recording, rate
    if isinstance(recording, str) and recording.startswith(("http://", "https://")):
        with urllib.request.urlopen(recording) as answer:
            return answer.read()
    return bytes(recording) if isinstance(recording, bytearray) else recording
