"""transformers' pipeline for a published Tiny Audio model, which runs the code in code/:

pipeline("automatic-speech-recognition", model="you/my-model", trust_remote_code=True)
"""

import importlib
import sys
import urllib.request
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
    def from_pretrained(cls, name, *_, config=None, dtype=None, **options):
        """From a folder or a Hub id; without a torch.dtype, in the one that suits the device."""
        folder = Path(name)
        if not folder.is_dir():
            known = ("revision", "token", "cache_dir", "local_files_only")
            folder = snapshot_download(name, **{k: options[k] for k in known if k in options})
        model = cls(config or TinyAudioConfig.from_pretrained(folder))
        dtype = dtype if isinstance(dtype, torch.dtype) else None
        model.recogniser = import_code(Path(folder)).TinyAudio.from_pretrained(folder, dtype=dtype)
        return model


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
    16 kHz, {"array": samples, "sampling_rate": rate}, or a list of these."""

    _load_tokenizer = _load_processor = _load_feature_extractor = False
    _load_image_processor = _load_video_processor = False

    def __call__(self, inputs, **parameters):
        """`beams` and `max_new_tokens` as TinyAudio.transcribe's."""
        many = isinstance(inputs, (list, tuple))
        forward = self._sanitize_parameters(**parameters)[1]
        texts = self.run_single(list(inputs) if many else [inputs], {}, forward, {})
        return texts if many else texts[0]

    def _sanitize_parameters(self, beams: int = 1, max_new_tokens: int | None = None):
        return {}, {"beams": beams, "max_new_tokens": max_new_tokens}, {}

    def preprocess(self, inputs):
        return [readable(recording) for recording in inputs]

    def _forward(self, recordings, **parameters):
        return self.model.recogniser.transcribe(recordings, **parameters)

    def postprocess(self, texts):
        return [{"text": text} for text in texts]


def readable(recording):
    """What tinyaudio.load_audio takes, from what transformers' pipelines take."""
    if isinstance(recording, dict):
        samples = recording["array"] if "array" in recording else recording["raw"]
        return np.asarray(samples), recording["sampling_rate"]
    if isinstance(recording, (np.ndarray, torch.Tensor)):
        return np.asarray(recording), 16_000
    if str(recording).startswith(("http://", "https://")):
        with urllib.request.urlopen(recording) as answer:
            return answer.read()
    return recording
