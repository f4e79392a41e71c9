"""The synthesised corpus: generated sentences, spoken by espeak-ng in its voices and in drawn ones.

`espeak:SPLIT:COUNT` names one wherever a manifest can stand, `espeak:dictation:SPLIT:COUNT` one of
another grammar than the everyday one; it is spoken once, into a folder under runs/speech/ that
holds a manifest and FLAC files to listen to.
"""

import ctypes
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import espeakng_loader
import numpy as np
import soundfile
import torch
from torch import Tensor

from audio import SAMPLE_RATE, load_audio

GRAMMARS = Path(__file__).parent / "configs" / "language"
CORPORA = Path("runs") / "speech"

# The variants of espeak-ng's voices that sound like no person are left out of every split.
NOT_HUMAN = re.compile(r"robosoft|robot|demonic|croak|tweaky|whisper|serious", re.I)
ACCENTS = ("en-us", "en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc", "en-029")
SHARD = 1000  # utterances spoken by one process


def read_grammar(grammar: str) -> dict[str, list[str]]:
    """Rule names and their alternatives; everyday.txt says how they are written."""
    rules: dict[str, list[str]] = {}
    for line in (GRAMMARS / f"{grammar}.txt").read_text().splitlines():
        line = line.split("#")[0].rstrip()
        if line and not line.startswith(" "):
            alternatives = rules[line.removesuffix(":")] = []
        elif line:
            alternatives += [alternative.strip() for alternative in line.split("|")]
    return rules


def sentences(split: str, rng: random.Random, grammar: str = "everyday") -> Iterator[str]:
    """Endless random sentences of a split. A sentence's checksum decides its split, for good:
    a twentieth of all sentences is test's, another dev's."""
    rules = read_grammar(grammar)

    def expand(rule: str) -> str:
        if rule.startswith("spelled_"):
            return " ".join(expand(rule.removeprefix("spelled_")))
        return re.sub(r"\{(\w+)\}", lambda m: expand(m[1]), rng.choice(rules[rule]))

    while True:
        text = re.sub(r"a\(n\) (?=[aeiou])(?!uni)", "an ", expand("sentence")).replace("a(n)", "a")
        if {0: "test", 1: "dev"}.get(zlib.crc32(text.encode()) % 20, "train") == split:
            yield text


def voices(split: str) -> list[str]:
    """espeak-ng's voice variants of a split. The checksum of a voice's name decides, unheard: a
    tenth of the names is test's, another dev's. Near copies (steph, steph2, ...) stay together."""

    def split_of(name: str) -> str:
        family = re.sub(r"\d+$", "", name)
        return {0: "test", 1: "dev"}.get(zlib.crc32(family.encode()) % 10, "train")

    variants = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    human = sorted(v.name for v in variants.iterdir() if not NOT_HUMAN.search(v.name))
    return [name for name in human if split_of(name) == split]


def drawn_voice(rng: random.Random) -> str:
    """A voice nobody made: espeak-ng's parameters of a speaker, drawn at random.

    Each range is about that between the tenth and the ninetieth percentile of the voices of train
    and dev, and what few of them have (breath, echo, a Klatt synthesiser) few drawn ones have.
    Vowels are moved by the length of the vocal tract and a little each on their own.
    Trained on some dozens of fixed voices alone, an encoder learns those.
    """
    low, tract = rng.uniform(60, 200), rng.uniform(0.85, 1.2)
    lines = [
        "language variant",
        f"pitch {low:.0f} {low * rng.uniform(1.2, 1.8):.0f}",
        f"flutter {rng.choice((0, 0, 0, rng.randint(1, 12)))}",
        f"roughness {rng.choice((0, 0, 0, rng.randint(1, 5)))}",
        f"voicing {rng.randint(30, 170)}",
        f"consonants {rng.randint(50, 120)} {rng.randint(40, 150)}",
    ]
    muffled = rng.random() < 0.2  # without the highest formants
    for formant, strength in enumerate((100, 100, 100, 90, 80, 80, 75, 75, 75)):
        shift = 100 * (tract if formant else 1) * rng.uniform(0.9, 1.1)
        height = 0 if muffled and formant > 5 else strength * rng.uniform(0.5, 1.4)
        lines.append(f"formant {formant} {shift:.0f} {height:.0f} {rng.uniform(60, 150):.0f}")
    if rng.random() < 0.2:
        lines.append(f"klatt {rng.randint(1, 6)}")
    if rng.random() < 0.2:
        lines.append(f"intonation {rng.randint(1, 4)}")
    if rng.random() < 0.2:
        lines.append(f"echo {rng.randint(20, 150)} {rng.randint(0, 20)}")
    if rng.random() < 0.1:
        lines.append("breath " + " ".join(str(rng.randint(0, 6)) for _ in range(8)))
    if rng.random() < 0.25:  # length of stressed and unstressed syllables
        lines.append("stressAdd " + " ".join(str(rng.randint(-20, 140)) for _ in range(8)))
    if rng.random() < 0.25:  # and their loudness
        lines.append("stressAmp " + " ".join(str(rng.randint(14, 32)) for _ in range(8)))
    if rng.random() < 0.3:
        high = [rng.randint(12, 200) for _ in range(3)]
        lines.append(f"tone 100 255 600 {high[0]} 1200 {high[1]} 3000 {high[2]}")
    return "\n".join(lines) + "\n"


def espeak_corpus(source: str) -> Path:
    """The manifest of `espeak:[GRAMMAR:]SPLIT:COUNT[:SEED]`, spoken now if it was not before.

    Splits: train; dev and test (sentences and voices that no other split has); test-seen-voices
    (unseen sentences in the training voices). Raises ValueError for anything else.
    """
    grammars = "|".join(sorted(path.stem for path in GRAMMARS.glob("*.txt")))
    splits = "train|dev|test|test-seen-voices"
    match = re.fullmatch(rf"espeak:(?:({grammars}):)?({splits}):([1-9]\d*)(?::(\d+))?", source)
    if not match:
        raise ValueError(
            f"{source}: expected espeak:[GRAMMAR:]SPLIT:COUNT[:SEED], as in espeak:train:8000, "
            f"with GRAMMAR one of {grammars} and SPLIT one of {splits}"
        )
    folder = CORPORA / "-".join(filter(None, match.groups()))
    if (folder / "manifest.jsonl").is_file():
        return folder / "manifest.jsonl"
    grammar, split, count = match[1] or "everyday", match[2], int(match[3])
    rng = random.Random(source)
    texts = sentences(split.removesuffix("-seen-voices"), rng, grammar)
    names = voices("train" if split == "test-seen-voices" else split)
    rows = [
        {"audio": f"{i:06d}.flac", "text": next(texts),
         "speaker": rng.choice(names), "accent": rng.choice(ACCENTS),
         "rate": rng.randint(130, 200), "pitch": rng.randint(30, 70)}
        for i in range(count)
    ]  # fmt: skip
    if split == "train":  # every second utterance in a voice of its own
        for i, row in enumerate(rows[1::2]):
            row |= {"speaker": f"drawn{i}", "variant": drawn_voice(rng)}
    unfinished = folder.with_name(f"{folder.name}.unfinished-{os.getpid()}")
    unfinished.mkdir(parents=True)
    shards = [rows[i : i + SHARD] for i in range(0, count, SHARD)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(partial(speak_apart, unfinished), shards), 1):
            print(f"\r{source}: {min(done * SHARD, count)}/{count} spoken", end="", file=sys.stderr)
    print(file=sys.stderr)
    with (unfinished / "manifest.jsonl").open("w") as manifest:
        for row in rows:
            seconds = soundfile.info(unfinished / row["audio"]).duration
            manifest.write(json.dumps(row | {"duration": seconds}) + "\n")
    if folder.exists():  # another process has spoken it meanwhile, to the byte the same
        shutil.rmtree(unfinished)
    else:
        unfinished.rename(folder)
    return folder / "manifest.jsonl"


def speak_apart(folder: Path, rows: list[dict]) -> None:
    """`speak_shard` in a process of its own. Raises OSError where it fails.

    espeak-ng's voices waver by a counter that runs on from one utterance to the next and cannot be
    reset: a fresh process for each shard makes the corpus the same every time.
    """
    done = subprocess.run([sys.executable, __file__], text=True, stderr=subprocess.PIPE,
                          input=json.dumps([str(folder.resolve()), rows]))  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise OSError(f"the corpus cannot be spoken: {reason}")


def speak_shard(folder: str, rows: list[dict]) -> None:
    """Speak the rows into FLAC files at 16 kHz."""
    torch.set_num_threads(1)
    espeak = Espeak()
    for row in rows:
        if "variant" in row:
            espeak.drawn.write_text(row["variant"])
        voice = f"{row['accent']}+{espeak.drawn.name if 'variant' in row else row['speaker']}"
        waveform = espeak.speak(row["text"], voice, row["rate"], row["pitch"])
        soundfile.write(Path(folder) / row["audio"], waveform.numpy(), SAMPLE_RATE)


class Espeak:
    """espeak-ng through its C interface (speak_lib.h); the library and its voices come by pip."""

    SYNCHRONOUS, RATE, PITCH, CHARACTERS, UTF8 = 2, 1, 3, 1, 1  # constants of speak_lib.h

    def __init__(self):
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.chunks: list[np.ndarray] = []
        # A copy of espeak-ng's data with one more voice, `drawn`, whose file may be written anew
        # before each utterance (the list of voices cannot grow: it ends at 350).
        self.data = tempfile.TemporaryDirectory()
        data, own = Path(self.data.name), Path(espeakng_loader.get_data_path())
        (data / "voices" / "!v").mkdir(parents=True)
        for path in (*own.iterdir(), *(own / "voices" / "!v").iterdir()):
            if path.name != "voices":
                (data / path.relative_to(own)).symlink_to(path)
        self.drawn = data / "voices" / "!v" / "drawn"
        self.drawn.write_text("language variant\n")
        arguments = (self.SYNCHRONOUS, 0, str(data).encode(), 0)
        self.sample_rate = self.library.espeak_Initialize(*arguments)
        if self.sample_rate <= 0:
            raise OSError(f"espeak-ng cannot be started with the voices in {own}")
        self.library.espeak_ng_SetRandSeed(0)  # of the noise in breathy voices; else the clock's
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self.callback = kind(self.receive)  # kept: the library holds no reference of its own
        self.library.espeak_SetSynthCallback(self.callback)

    def receive(self, samples, count: int, _events) -> int:
        if samples and count:
            self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0  # go on

    def speak(self, text: str, voice: str, rate: int = 175, pitch: int = 50) -> Tensor:
        """Words a minute and pitch 0-99 -> waveform (T,) at 16 kHz. Raises ValueError."""
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self.library.espeak_SetParameter(self.RATE, rate, 0)
        self.library.espeak_SetParameter(self.PITCH, pitch, 0)
        self.chunks.clear()
        data = text.encode() + b"\0"
        self.library.espeak_Synth(data, len(data), 0, self.CHARACTERS, 0, self.UTF8, None, None)
        return load_audio((np.concatenate(self.chunks), self.sample_rate))


if __name__ == "__main__":  # a shard, as `speak_apart` asks for it
    speak_shard(*json.load(sys.stdin))
