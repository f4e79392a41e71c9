"""A published Tiny Audio model as a Hugging Face Inference Endpoint, which calls EndpointHandler:

    {"inputs": audio, "parameters": {"beams": 4}}  ->  {"text": "turn on the light"}

`inputs` is the bytes of an audio file, the same in base64, or a list of these, which is answered by
a list. What cannot be used is answered by {"error": "a sentence"}, in a list at its place.
"""

import base64
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LIMITS = {"beams": 16, "max_new_tokens": 4096}
MOST_RECORDINGS, MOST_SECONDS = 64, 3600  # in one request


class EndpointHandler:
    def __init__(self, path: str = ""):
        """Load the model from `path`, the repository's folder, and warm it up."""
        folder = Path(path or HERE)
        sys.path.insert(0, str(folder / "code"))
        from tinyaudio import TinyAudio, load_audio

        self.load_audio, self.model = load_audio, TinyAudio.from_pretrained(folder)
        # The first recording pays for memory and kernels: let it be one of nobody's.
        noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
        self.model.transcribe((0.01 * noise, 16_000), max_new_tokens=4)

    def __call__(self, data: dict) -> dict | list[dict]:
        try:
            inputs, parameters = read_request(data)
        except ValueError as error:
            return {"error": str(error)}
        recordings = inputs if isinstance(inputs, list) else [inputs]
        answers, waveforms, seconds = {}, {}, 0.0
        for i, recording in enumerate(recordings):
            try:
                # No more than shows that it is too much: an hour of silence is a small FLAC.
                rest = MOST_SECONDS + 1 - seconds
                waveforms[i] = self.load_audio(decode(recording), duration=rest)
                seconds += len(waveforms[i]) / 16_000
            except ValueError as error:
                answers[i] = {"error": str(error)}
            if seconds > MOST_SECONDS:
                return {"error": f"inputs: more than {MOST_SECONDS} s of audio at once"}
        texts = self.model.transcribe(list(waveforms.values()), **parameters)
        answers |= {i: {"text": text} for i, text in zip(waveforms, texts, strict=True)}
        in_order = [answers[i] for i in range(len(recordings))]
        return in_order if isinstance(inputs, list) else in_order[0]


def read_request(data: dict) -> tuple[object, dict]:
    """The recordings and transcribe's parameters. Raises ValueError for what is neither."""
    parameters = data.get("parameters") or {} if isinstance(data, dict) else None
    if not isinstance(parameters, dict) or "inputs" not in data:
        raise ValueError('expected {"inputs": audio, "parameters": {...}}')
    if isinstance(data["inputs"], list) and len(data["inputs"]) > MOST_RECORDINGS:
        raise ValueError(f"inputs: {len(data['inputs'])} recordings, more than {MOST_RECORDINGS}")
    for key, value in parameters.items():
        if key not in LIMITS:
            raise ValueError(f"parameters: unknown {key!r}; known: {', '.join(LIMITS)}")
        if type(value) is not int or not 1 <= value <= LIMITS[key]:
            raise ValueError(f"parameters: {key}={value!r}; expected 1 to {LIMITS[key]}")
    return data["inputs"], parameters


def decode(recording) -> bytes:
    """The bytes of an audio file. Text is base64, never a path: the endpoint's disk is its own."""
    if isinstance(recording, str):
        text = "".join(recording.rpartition("base64,")[2].split())  # wrapped lines, a data URL
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            raise ValueError("inputs: expected the audio file's bytes in base64") from None
    if not isinstance(recording, (bytes, bytearray)):
        raise ValueError(f"inputs: expected an audio file, not {type(recording).__name__}")
    return bytes(recording)
