"""Sound in: recordings of any format as waveforms, the microphone, long recordings in pieces."""

import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

SAMPLE_RATE = 16_000  # samples per second: what every HuBERT and wav2vec 2.0 was trained on
MIN_RATE, MAX_RATE = 4_000, 384_000  # of recordings, in samples per second
SILENT = 1e-5  # standard deviation of digital silence, full scale being 1


def open_audio(source) -> soundfile.SoundFile:
    """A path, bytes or a file object. Raises RuntimeError for what is not audio, and where the
    header does not say how long it is, as in a FLAC written to a pipe."""
    file = soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    if file.frames == 2**63 - 1:
        raise RuntimeError("its header does not say how long it is; encode it again")
    return file


def load_audio(source, sample_rate: int = SAMPLE_RATE, offset=0.0, duration=None) -> Tensor:
    """Decode, mix to mono and resample to a float32 waveform (T,).

    `source` is a path, bytes, a file object or (array, rate), the array (T,) or (T, channels);
    `offset` and `duration` (seconds) cut a part out of it.
    Raises FileNotFoundError, or ValueError for what is empty or not audio.
    """
    name = source if isinstance(source, (str, Path)) else "the audio"
    if isinstance(source, tuple):
        samples, rate = np.asarray(source[0]), round(source[1])
        channels = samples.shape[1] if samples.ndim == 2 else 1
        if samples.ndim not in (1, 2) or 0 < len(samples) < channels:
            raise ValueError(f"expected samples (T,) or (T, channels), got {samples.shape}")
        if samples.dtype.kind == "i":  # 16-bit integers and the like: full scale is 1
            samples = samples / -float(np.iinfo(samples.dtype).min)
        samples = samples[int(offset * rate) :]
        samples = samples if duration is None else samples[: round(duration * rate)]
    elif isinstance(source, (str, Path)) and not Path(source).is_file():
        what = "is a folder" if Path(source).is_dir() else "no such file"
        raise FileNotFoundError(f"{source}: {what}")
    else:
        try:
            with open_audio(source) as file:
                rate = file.samplerate
                if file.frames < int(offset * rate):
                    raise ValueError(f"{name}: ends before {offset} s")
                file.seek(int(offset * rate))
                frames = -1 if duration is None else round(duration * rate)
                samples = file.read(frames, dtype="float32")
        except (RuntimeError, TypeError) as error:
            known = isinstance(error, soundfile.LibsndfileError)  # its text names the file again
            reason = error.error_string if known else error
            raise ValueError(f"{name}: not audio that can be read ({reason})") from None
    if samples.size == 0:
        raise ValueError(f"{name}: holds no audio samples")
    waveform = torch.from_numpy(np.asarray(samples, dtype=np.float32))
    if waveform.ndim == 2:
        waveform = waveform.mean(dim=1)
    if not waveform.isfinite().all():
        raise ValueError(f"{name}: holds samples that are not numbers")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f"{name}: {rate} samples a second; expected {MIN_RATE} to {MAX_RATE}")
    if math.gcd(rate, sample_rate) < 25:  # resampling holds a filter for each of rate / gcd phases
        rate = 25 * round(rate / 25)
    if rate != sample_rate:
        from torchaudio.functional import resample  # its import takes longer than most files

        waveform = resample(waveform, rate, sample_rate)
    return waveform


def split_at_silences(waveform: Tensor, max_seconds: float) -> list[Tensor]:
    """Cut (T,) into pieces of at most `max_seconds`, each cut at the quietest 0.1 s in reach.

    Raises ValueError for what is no waveform.
    """
    if waveform.ndim != 1 or not waveform.is_floating_point() or not waveform.isfinite().all():
        kind = f"{tuple(waveform.shape)} of {waveform.dtype}"
        raise ValueError(f"expected a waveform (T,) of finite floats, got {kind}")
    longest, window = int(max_seconds * SAMPLE_RATE), SAMPLE_RATE // 10
    pieces = []
    while len(waveform) > longest:
        # Only the last half of the reach: a cut near the start would leave a useless sliver.
        reach = waveform[longest // 2 : longest]
        energy = reach[: len(reach) // window * window].view(-1, window).pow(2).mean(1)
        cut = longest // 2 + int(energy.argmin()) * window + window // 2
        pieces.append(waveform[:cut])
        waveform = waveform[cut:]
    return [*pieces, waveform]


def microphone() -> Iterator[tuple[np.ndarray, int]]:
    """What is said between two presses of Enter, as (samples, rate), until Ctrl-D or Ctrl-C.

    Raises ValueError where there is no sounddevice or no microphone.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: there is no PortAudio
        raise ValueError(
            f"--mic needs the package sounddevice ({error}): pip install sounddevice, and on Linux "
            "also PortAudio, for example apt install libportaudio2"
        ) from None
    blocks: list[np.ndarray] = []
    while True:
        try:
            input("Enter, speak, Enter (Ctrl-D: leave) ")
            blocks.clear()
            with sounddevice.InputStream(
                channels=1, dtype="float32", callback=lambda block, *_: blocks.append(block.copy())
            ) as stream:
                input("listening ... ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        except sounddevice.PortAudioError as error:
            raise ValueError(f"the microphone cannot be opened: {error}") from None
        yield np.concatenate(blocks or [np.zeros((0, 1))]), round(stream.samplerate)
