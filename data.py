"""Where utterances come from, and how they become batches.

A source is named by a string: the path of a JSONL manifest, or `espeak:SPLIT:COUNT[:SEED]`, a
corpus that synthesis.py speaks and lays down as a manifest like any other, or a pattern of parquet
files, on disk or on the Hub (parquet.py). `SOURCE*3` is heard three times an epoch, each time as
augment.py varies it anew.
"""

import json
import random
import re
import sys
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from audio import SAMPLE_RATE, SILENT, load_audio, open_audio
from checkpoints import signals_held, spare
from devices import move
from synthesis import espeak_corpus

SHORTEST = SAMPLE_RATE // 20  # samples: one encoder frame sees 400 of them
# Batches are padded to whole quarters of a second. With few shapes the memory of one batch fits the
# next, and kernels that are made for a shape are made once.
PADDING = SAMPLE_RATE // 4


@dataclass(frozen=True)
class DataConfig:
    """Which utterances a run trains and evaluates on, and how they are batched."""

    train: tuple[str, ...] = ("espeak:train:8000",)  # sources: manifests or espeak:SPLIT:COUNT
    dev: tuple[str, ...] = ("espeak:dev:100",)  # evaluated during training, chooses the best
    test: tuple[str, ...] = ("espeak:test:300",)  # evaluated once, after training
    batch_seconds: float = 100.0  # audio in a batch, all counted as long as the longest
    min_seconds: float = 0.1
    max_seconds: float = 30.0
    wordless: bool = False  # train on recordings with an empty text too: noise, nothing to write
    workers: int = 0  # processes that decode audio ahead; 0: the training process itself
    buffer: int = 500  # rows of a parquet stream that are shuffled together, for each worker
    cache: bool = False  # download parquet files whole, once, instead of reading what is needed

    def __post_init__(self):
        for name in ("train", "dev", "test"):
            if not getattr(self, name):
                raise ValueError(f"data.{name}: expected at least one source of recordings")
        if not (self.batch_seconds > 0 and self.min_seconds <= self.max_seconds):
            raise ValueError("data: expected batch_seconds > 0 and min_seconds <= max_seconds")


@dataclass(frozen=True)
class Utterance:
    """One recording and what is said in it."""

    id: str
    audio: str | bytes  # path, or an encoded file itself
    text: str  # as its source has it; `normalise_text` makes of it what is trained on
    offset: float = 0.0  # seconds into the recording
    duration: float | None = None  # seconds; None: to its end
    speaker: str = ""

    def waveform(self) -> Tensor:
        """(T,) at 16 kHz. Raises what load_audio raises."""
        return load_audio(self.audio, offset=self.offset, duration=self.duration)


@dataclass(frozen=True)
class Batch:
    """Waveforms (B, T) padded with zeros on the right, their lengths (B,) in samples, the texts.

    Lengths stay on the CPU: to read a number from a GPU is to wait for all that it has to do.
    A training step draws what it drops of the batch from `seed`.
    """

    waveforms: Tensor
    lengths: Tensor
    texts: list[str]
    seed: int = 0

    @property
    def seconds(self) -> float:
        return self.lengths.sum().item() / SAMPLE_RATE

    def to(self, device) -> "Batch":
        return replace(self, waveforms=move(self.waveforms, device))

    def pin_memory(self) -> "Batch":
        """For the DataLoader: copies to a GPU then overlap with what it computes."""
        return replace(self, waveforms=self.waveforms.pin_memory())


def normalise_text(text: str) -> str:
    """The rule for training texts and for `raw_wer`: lower case, no punctuation.

    Unicode NFKC; curly apostrophes made straight; letters with their marks, digits and apostrophes
    inside a word stay; soft hyphens, joiners and their like go; everything else divides words.
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    kinds = [(c, unicodedata.category(c)) for c in text]
    # Letters, numbers and marks, which are the vowels of Hindi and Thai (\w knows no marks).
    kept = (c if c == "'" or kind[0] in "LNM" else " " for c, kind in kinds if kind != "Cf")
    words = (word.strip("'") for word in "".join(kept).split())
    return " ".join(filter(None, words))


class Problems(Counter):
    """Utterances left out, counted by reason: never fatal, never silent."""

    def report(self, name: str) -> None:
        for reason, count in sorted(self.items()):
            print(f"{name}: left out {count} utterances: {reason}", file=sys.stderr)


def load_sources(sources: tuple[str, ...], cache: bool = False) -> list[Utterance]:
    return [utterance for source in sources for utterance in load_source(source, cache)]


def held_out(cfg: DataConfig, name: str) -> list[Utterance]:
    """The utterances of data.dev or data.test. Raises ValueError where none of them can be used:
    hours of training before anybody noticed would be lost."""
    utterances = load_sources(getattr(cfg, name), cfg.cache)
    for utterance in utterances:
        try:
            utterance.waveform()
            if name == "test" or usable([utterance], cfg, Problems()):  # dev's loss is as train's
                return utterances
        except (OSError, ValueError):
            continue
    raise ValueError(f"data.{name}: none can be read, or none has words and a fitting length")


def load_source(source: str, cache: bool = False) -> list[Utterance]:
    """The utterances of a source. Raises FileNotFoundError, or ValueError with what is wrong."""
    if repeated := re.fullmatch(r"(.+)\*(\d+)", source):
        once, times = load_source(repeated[1], cache), range(int(repeated[2]))
        return [replace(u, id=f"{u.id}*{n}") if n else u for n in times for u in once]
    if re.search(r"\.parquet(\[:\d+\])?$", source):
        from parquet import read_parquet  # pyarrow, which only those who stream need

        return read_parquet(source, cache)
    if source.startswith("espeak:"):
        source = str(espeak_corpus(source))
    if not Path(source).is_file():
        raise FileNotFoundError(f"{source}: no such manifest (expected a JSONL file)")
    return read_manifest(Path(source))


def read_manifest(path: Path) -> list[Utterance]:
    """JSON lines with `audio` (path, relative to the manifest) and `text`; `offset`, `duration`,
    `speaker`, `id` are optional. Raises ValueError with the line where one cannot be used."""
    utterances = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            utterances.append(
                Utterance(
                    id=row.get("id", row["audio"]),
                    audio=str(path.parent / row["audio"]),
                    text=str.strip(row["text"]),
                    offset=float(row.get("offset", 0.0)),
                    duration=None if row.get("duration") is None else float(row["duration"]),
                    speaker=row.get("speaker", ""),
                )
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path}, line {number}: expected a JSON object with `audio` and `text` "
                f"({type(error).__name__}: {error})"
            ) from None
    if not utterances:
        raise ValueError(f"{path}: holds no utterances")
    return utterances


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    """A JSON object a line: a manifest for `read_manifest`, or results. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def usable(
    utterances: list[Utterance], cfg: DataConfig, problems: Problems
) -> list[tuple[Utterance, float]]:
    """The utterances worth training on with their seconds; the others are counted in `problems`."""
    kept = []
    for utterance in utterances:
        seconds = utterance.duration
        if seconds is None:
            try:
                with open_audio(utterance.audio) as file:
                    seconds = file.frames / file.samplerate - utterance.offset
            except (OSError, RuntimeError):
                problems["the audio file is missing or cannot be read"] += 1
                continue
        if seconds < cfg.min_seconds:
            problems[f"shorter than {cfg.min_seconds} s"] += 1
        elif seconds > cfg.max_seconds:
            problems[f"longer than {cfg.max_seconds} s"] += 1
        elif not (cfg.wordless or normalise_text(utterance.text)):
            problems["no words in the text"] += 1
        else:
            kept.append((utterance, seconds))
    return kept


def plan_batches(
    kept: list[tuple[Utterance, float]], batch_seconds: float, rng: random.Random
) -> list[list[Utterance]]:
    """Utterances and their seconds, sorted by length with some noise, cut to batches, shuffled."""
    # A tenth of a second (of the length, if that is less) gives every epoch other neighbours, and
    # hardly more padding.
    order = sorted(kept, key=lambda pair: pair[1] + 0.1 * min(1, pair[1]) * rng.uniform(-1, 1))
    batches, longest = [], 0.0
    for utterance, seconds in order:
        longest = max(longest, seconds)
        if not batches or longest * (len(batches[-1]) + 1) > batch_seconds:
            batches.append([])
            longest = seconds
        batches[-1].append(utterance)
    rng.shuffle(batches)
    return batches


def seeded(batch: Batch | None, seed: int, place) -> Batch | None:
    """With a seed of the batch's own, whoever trains on it: its place in the data says which."""
    return batch and replace(batch, seed=zlib.crc32(f"{seed}-{place}".encode()))


def vary(augment, seed: int, epoch: int, utterance: Utterance, waveform: Tensor) -> Tensor:
    """What the utterance sounds like in this epoch; `augment` is an Augment or None."""
    rng = random.Random(f"{seed}-{epoch}-{utterance.id}")
    return augment(waveform, rng) if augment else waveform


class Batches:
    """Batches of utterances of like length; seed and epoch alone decide which, and their order,
    and how `augment`, an Augment or nothing, varies them. Of several ranks, each has its own."""

    def __init__(
        self, utterances: list[Utterance], cfg: DataConfig, seed: int, augment=None, rank=0, ranks=1
    ):
        self.cfg, self.seed, self.augment, self.problems = cfg, seed, augment, Problems()
        self.rank, self.ranks = rank, ranks
        self.kept = usable(utterances, cfg, self.problems)
        if not self.kept:
            self.problems.report("training data")
            raise ValueError("none of the training utterances can be used")

    def plan(self, epoch: int) -> list[list[Utterance]]:
        """The batches of an epoch."""
        rng = random.Random(f"{self.seed}-{epoch}")
        return plan_batches(self.kept, self.cfg.batch_seconds, rng)

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.kept)

    def stream(self, cursor: dict) -> Iterator[tuple]:
        """Batches without end: (cursor, batch or None, problems). The cursor, {} at the start, is
        where to continue from: an epoch and the number of its next batch, of so many.
        Raises ValueError where whole epochs hold nothing that can be read."""
        if cursor and "batch" not in cursor:
            raise ValueError("the checkpoint is of a parquet stream, not of this training data")
        epoch, start = cursor.get("epoch", 0), cursor.get("batch", 0)
        if start and cursor.get("of") != len(self.plan(epoch)):
            print(f"other batches than before: epoch {epoch} begins anew", file=sys.stderr)
            start = 0
        # The ranks take turns. The last of a round is rank 0's: where it is, all of them are.
        turn, barren = self.ranks - 1 - self.rank, 0
        while barren <= self.ranks:
            plan, found = self.plan(epoch), start > 0
            mine = range(start + turn, len(plan), self.ranks)
            loader = self.loader(epoch, [plan[number] for number in mine])
            for number, (batch, problems) in zip(mine, loader, strict=True):
                found = found or batch is not None
                place = {"epoch": epoch, "batch": number + 1}
                yield place | {"of": len(plan)}, seeded(batch, self.seed, place), problems
            barren = 0 if found else barren + 1
            turn = (turn - (len(plan) - start)) % self.ranks
            epoch, start = epoch + 1, 0
        raise ValueError("none of the training recordings can be read")

    def own_cursor(self, cursors: list[dict]) -> dict:
        """Where this rank goes on, given the cursors of all ranks, be they as many now or not.

        Exact but where a whole batch could not be read: its rank has then taken one in advance.
        """
        return cursors[0] if cursors else {}

    def loader(
        self, epoch: int, plan: list[list[Utterance]] | None = None
    ) -> Iterator[tuple[Batch | None, dict[str, int]]]:
        """The batches of an epoch, or some of them, with what had to be left out of each."""
        change = partial(vary, self.augment, self.seed, epoch)
        plan = self.plan(epoch) if plan is None else plan
        return load(plan, self.cfg.workers, partial(collate, vary=change))


def load(dataset, workers: int, collate_fn: Callable | None = None) -> Iterator:
    """The items of a dataset, loaded ahead by so many processes."""
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=workers, collate_fn=collate_fn, worker_init_fn=spare,
        # Its own: a loader draws a seed when it starts, and a resumed run starts one more.
        generator=torch.Generator(), pin_memory=torch.cuda.is_available(),
    )  # fmt: skip
    with signals_held():
        return iter(loader)


def training_batches(cfg: DataConfig, seed: int, augment=None, rank: int = 0, ranks: int = 1):
    """Batches of `data.train`: of a list of utterances, or of parquet files as they stream in."""
    streamed = [".parquet" in source for source in cfg.train]
    if not any(streamed):
        return Batches(load_sources(cfg.train), cfg, seed, augment, rank, ranks)
    if not all(streamed):
        raise ValueError(f"data.train={list(cfg.train)}: parquet files cannot stream beside others")
    from parquet import ParquetBatches

    return ParquetBatches(cfg.train, cfg, seed, augment, rank, ranks)


def collate(
    utterances: list[Utterance], vary: Callable[[Utterance, Tensor], Tensor] | None = None
) -> tuple[Batch | None, dict[str, int]]:
    """Decode, vary and pad a batch, None where nothing of it can be used; problems by reason."""
    problems, waveforms, texts = Problems(), [], []
    for utterance in utterances:
        try:
            waveform = utterance.waveform()
        except (OSError, ValueError):
            problems["the audio file is missing or cannot be read"] += 1
            continue
        if len(waveform) < SHORTEST:
            problems["the audio file holds less than its manifest says"] += 1
            continue
        if waveform.std() < SILENT:
            problems["silent"] += 1
            continue
        try:
            waveforms.append(vary(utterance, waveform) if vary else waveform)
        except (OSError, ValueError):
            problems["the noise to be mixed in is missing or cannot be read"] += 1
            continue
        texts.append(normalise_text(utterance.text))
    return (pad(waveforms, texts) if waveforms else None), dict(problems)


def pad(waveforms: list[Tensor], texts: list[str]) -> Batch:
    lengths = torch.tensor([len(w) for w in waveforms])
    padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
    padded = torch.nn.functional.pad(padded, (0, -padded.shape[1] % PADDING))
    return Batch(padded, lengths, texts)
