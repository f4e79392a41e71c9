"""Speech in parquet files, streamed by row groups: the datasets of the Hugging Face Hub.

`hf://datasets/speechbrain/LoquaciousSet/medium/train*.parquet` names one wherever a manifest can
stand, `folder/*.parquet` the same on disk; `...parquet[:300]` is 300 rows of it, as many from the
start of each file: LoquaciousSet's files are of one source each. The columns are found by name:
those of LoquaciousSet, LibriSpeech and others that hold encoded audio and text.

A stream holds two buffers of rows for each data worker: the one at hand, and the next, which is
read meanwhile. huggingface_hub asks again after a broken connection, 429 or 500, for some seconds;
here outages of up to two hours are waited out: to wait costs no more than to have ended.
"""

import random
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import fsspec
import pyarrow
import pyarrow.parquet
import torch
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from pyarrow import types

import ranks
from data import (
    DataConfig,
    Problems,
    Utterance,
    collate,
    load,
    plan_batches,
    seeded,
    usable,
    vary,
)

NAMES = {  # of a column, as datasets call it
    "audio": ("audio", "wav"),
    "text": ("text", "sentence", "transcription", "transcript"),
    "id": ("id", "ID", "utterance_id"),
    "speaker": ("speaker_id", "spk_id", "client_id"),
}
INTERLEAVED = 64  # files read in turns: a file is often of one source, its rows of one speaker
WAITS = (5, 15, 45, 120, 300, *[600] * 11)  # seconds before another attempt
BARREN = 20  # batches in a row without anything usable, and a stream is given up


def list_files(pattern: str) -> list[str]:
    """The files of a pattern, in order. Raises FileNotFoundError where there are none."""
    filesystem, path = fsspec.core.url_to_fs(pattern)
    found = patiently(partial(filesystem.glob, path), pattern)
    if not found:
        raise FileNotFoundError(f"{pattern}: no such parquet files")
    return [filesystem.unstrip_protocol(name) for name in sorted(found)]


def at_commit(pattern: str) -> str:
    """The pattern at the commit that its dataset is at now, on the Hub; elsewhere as it is."""
    filesystem, path = fsspec.core.url_to_fs(pattern)
    if filesystem.protocol != "hf" or path.startswith("buckets/"):  # a bucket has no commits
        return pattern
    place = patiently(partial(filesystem.resolve_path, path), pattern)
    ask = partial(HfApi().repo_info, repo_type=place.repo_type, revision=place.revision)
    commit = patiently(partial(ask, place.repo_id), pattern).sha
    repository = pattern.removesuffix(f"/{place.path_in_repo}").partition("@")[0]
    return f"{repository}@{commit}/{place.path_in_repo}"


def patiently(attempt: Callable, name: str, stop: threading.Event | None = None):
    """What `attempt()` returns, tried again with growing waits while a network fails; when `stop`
    is set it waits no longer.

    Raises FileNotFoundError, ValueError for what is not parquet, or OSError, with the name.
    """
    local, stop = "://" not in name or name.startswith("file://"), stop or threading.Event()
    for wait in (*WAITS, None):
        try:
            return attempt()
        except ValueError as error:
            raise ValueError(f"{name}: {first_line(error)}") from None
        except Exception as error:  # OSError, or that of the client huggingface_hub happens to use
            # With a cache, a Hub that cannot be reached is a missing entry of the cache.
            unreached = isinstance(error, LocalEntryNotFoundError)
            if isinstance(error, FileNotFoundError) and not unreached:
                raise FileNotFoundError(f"{name}: no such dataset or file") from None
            status = getattr(getattr(error, "response", None), "status_code", 500)
            refused = 400 <= status < 500 and status not in (408, 429)
            refused = refused or isinstance(error, OfflineModeIsEnabled)
            if wait is None or local or refused or stop.is_set():
                raise OSError(f"{name}: cannot be read ({first_line(error)})") from None
            print(f"{name}: {first_line(error)}; trying again in {wait} s", file=sys.stderr)
            stop.wait(wait)


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


class ParquetFile:
    """One file: its row groups, each read as a list of utterances. `cache` downloads it whole."""

    def __init__(self, url: str, cache: bool = False):
        self.url = url
        self.file = patiently(partial(self.open, cache), url)
        schema = self.file.schema_arrow.names
        self.columns = {
            field: next((name for name in names if name in schema), None)
            for field, names in NAMES.items()
        }
        if missing := [field for field in ("audio", "text") if self.columns[field] is None]:
            raise ValueError(f"{url}: no column for {' and '.join(missing)} among {schema}")
        audio, text = (self.kind(self.columns[field]) for field in ("audio", "text"))
        if types.is_struct(audio) and audio.get_field_index("bytes") >= 0:
            audio = audio.field("bytes").type
        if not (types.is_binary(audio) or types.is_large_binary(audio)):
            raise ValueError(f"{url}: {self.columns['audio']} holds {audio}, not encoded audio")
        if not (types.is_string(text) or types.is_large_string(text)):
            raise ValueError(f"{url}: {self.columns['text']} holds {text}, not text")

    def kind(self, column: str) -> pyarrow.DataType:
        found = self.file.schema_arrow.field(column).type
        return found.value_type if types.is_dictionary(found) else found

    def open(self, cache: bool) -> pyarrow.parquet.ParquetFile:
        filesystem, path = fsspec.core.url_to_fs(self.url)
        if cache and filesystem.protocol == "hf":
            where = filesystem.resolve_path(path)
            local = hf_hub_download(
                where.repo_id, where.path_in_repo, repo_type=where.repo_type,
                revision=where.revision,
            )  # fmt: skip
            return pyarrow.parquet.ParquetFile(local)
        # Exactly the bytes of the columns that are read, and no readahead into the others. And no
        # threads of Arrow's (as in `read`): what one lets go of while Python ends would abort it.
        return pyarrow.parquet.ParquetFile(
            filesystem.open(path, cache_type="none"), pre_buffer=False
        )

    def rows_in(self, group: int) -> int:
        return self.file.metadata.row_group(group).num_rows

    def read(self, group: int, stop: threading.Event | None = None) -> list[Utterance]:
        """The utterances of a row group; only the columns in use cross the network."""
        used = [name for name in self.columns.values() if name]
        read = partial(self.file.read_row_group, group, columns=used, use_threads=False)
        rows = patiently(read, self.url, stop).to_pylist()
        return [self.utterance(row, f"{self.url}#{group}.{i}") for i, row in enumerate(rows)]

    def utterance(self, row: dict, place: str) -> Utterance:
        value = {field: row[name] if name else None for field, name in self.columns.items()}
        audio = value["audio"]["bytes"] if isinstance(value["audio"], dict) else value["audio"]
        name, speaker = (value[k] if value[k] is not None else "" for k in ("id", "speaker"))
        text = (value["text"] or "").strip()
        return Utterance(str(name) or place, audio or b"", text, speaker=str(speaker))


def read_parquet(source: str, cache: bool = False) -> list[Utterance]:
    """All utterances of a source, or with [:N] so many, with their encoded audio in memory."""
    pattern, _, limit = source.removesuffix("]").partition("[:")
    utterances, urls = [], list_files(pattern)
    for number, url in enumerate(urls, 1):
        due = int(limit or sys.maxsize) * number // len(urls)  # after this file
        if len(utterances) >= due:
            continue
        file = ParquetFile(url, cache)
        for group in range(file.file.num_row_groups):
            if len(utterances) < due:
                utterances += file.read(group)
        del utterances[due:]
    return utterances


@dataclass(frozen=True)
class Position:
    """Where a shard is in the stream: the next batch of a block of rows."""

    epoch: int = 0
    files: int = 0  # the group of interleaved files
    block: int = 0  # in these files
    batch: int = 0  # in the block


class ParquetBatches(torch.utils.data.IterableDataset):
    """Batches of utterances of like length out of parquet files: what `data.Batches` is to lists.

    The stream is cut into blocks of `data.buffer` rows or little more, shuffled within; each
    process (rank) and each of its data workers is a shard and reads the blocks that are its own.
    Files, settings and position decide what comes next: a run goes on at the exact row. A dataset
    of the Hub is read at the commit at which the run began, although it may have changed since.
    """

    seconds = None  # not known before everything is read

    def __init__(
        self, sources: tuple[str, ...], cfg: DataConfig, seed: int, augment=None, rank=0, ranks=1
    ):
        if parts := [source for source in sources if not source.endswith(".parquet")]:
            raise ValueError(f"{parts[0]}: a stream is trained on as a whole, without [:N] or *N")
        self.sources = sources  # one that is named twice is heard twice
        # In their order, whatever the process: what dropout draws is told by the cursor as a text.
        self.look({source: at_commit(source) for source in dict.fromkeys(sources)})
        self.cfg, self.seed, self.augment, self.problems = cfg, seed, augment, Problems()
        self.rank, self.ranks, self.workers = rank, ranks, max(1, cfg.workers)
        self.order = seed, ranks * self.workers, cfg.buffer
        self.cut_by = [cfg.batch_seconds, cfg.min_seconds, cfg.max_seconds, cfg.wordless]
        self.starts: list[Position] = []

    def look(self, commits: dict[str, str]) -> None:
        """Find the files: of each source, at a commit."""
        self.commits = commits
        self.files = [url for source in self.sources for url in list_files(commits[source])]

    def stream(self, cursor: dict) -> Iterator[tuple]:
        """As Batches.stream: (cursor, batch or None, problems) without end; {} is the start."""
        began = cursor.get("commits", {})
        if began != self.commits and began.keys() == self.commits.keys():
            print("the dataset has changed; the run goes on with what it began with",
                  *began.values(), file=sys.stderr)  # fmt: skip
            self.look(began)
        fingerprint = zlib.crc32(repr((self.files, self.order)).encode())
        if cursor and cursor.get("fingerprint") != fingerprint:
            then, now = cursor.get("shards", "none"), self.ranks * self.workers
            raise ValueError(
                "the checkpoint is of other training data: its rows can be found again only with "
                "the same files, train.seed and data.buffer, and as many data workers in all "
                f"ranks together: {then}, now {now}"
            )
        positions = [Position(**position) for position in cursor.get("positions", [])]
        if cursor and cursor.get("cut_by") != self.cut_by:
            print("other batches than before: the rows in the buffers are heard anew",
                  file=sys.stderr)  # fmt: skip
            positions = [replace(position, batch=0) for position in positions]
        positions, turn = positions or [Position()] * self.workers, cursor.get("turn", 0)
        # The loader asks its first worker first: it takes the shard whose turn it is.
        self.starts = positions[turn:] + positions[:turn]
        self.shards = [*range(turn, self.workers), *range(turn)]
        barren, reasons = 0, Problems()
        for item in load(self, self.cfg.workers):
            if isinstance(item, Exception):
                raise item
            position, batch, problems = item
            barren = barren + 1 if batch is None else 0
            reasons = Problems() if batch is not None else reasons
            reasons.update(problems)
            if barren == BARREN:
                found = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
                raise ValueError(f"{self.files[0]} ...: nothing that can be trained on ({found})")
            positions[turn] = position
            turn = (turn + 1) % self.workers
            yield {
                "epoch": min(place.epoch for place in positions), "turn": turn,
                "positions": [vars(place) for place in positions], "fingerprint": fingerprint,
                "shards": self.ranks * self.workers, "commits": self.commits,
                "cut_by": self.cut_by,
            }, seeded(batch, self.seed, position), problems  # fmt: skip

    def own_cursor(self, cursors: list[dict]) -> dict:
        """As Batches.own_cursor: the shards are dealt anew, to more ranks or fewer. All ranks take
        rank 0's commits: one may have come between its question and theirs."""
        if (commits := ranks.gather(self.commits)[0]) != self.commits:
            self.look(commits)
        if not cursors or "positions" not in cursors[0]:
            return cursors[0] if cursors else {}
        by_shard = [place for each in zip(*(c["positions"] for c in cursors), strict=True)
                    for place in each]  # fmt: skip
        turn, rest = divmod(cursors[0]["turn"] * len(cursors), self.ranks)
        if rest:
            raise ValueError(f"{len(cursors)} ranks have ended where {self.ranks} cannot go on")
        return cursors[0] | {"turn": turn, "positions": by_shard[self.rank :: self.ranks]}

    def __iter__(self) -> Iterator:
        """The batches of this worker's shard: (position of the next, batch, problems).

        An error is the last item: raised in a worker it would arrive wrapped in a traceback.
        """
        worker = torch.utils.data.get_worker_info()
        which = worker.id if worker else 0
        shard = self.shards[which] * self.ranks + self.rank  # as the ranks take turns in a step
        try:
            yield from self.batches(self.starts[which], shard)
        except (OSError, ValueError) as error:
            yield error

    def batches(self, start: Position, shard: int) -> Iterator[tuple]:
        for block, utterances in read_ahead(self.blocks(start, shard)):
            problems = Problems()
            kept = usable(utterances, self.cfg, problems)
            rng = random.Random(f"{self.seed}-{block}")
            change = partial(vary, self.augment, self.seed, block.epoch)
            # A block without anything usable is one empty batch, so that its problems are heard of.
            for number, batch in enumerate(plan_batches(kept, self.cfg.batch_seconds, rng) or [[]]):
                following = replace(block, batch=number + 1)
                if replace(start, batch=0) != block or number >= start.batch:
                    loaded, left_out = collate(batch, change)
                    problems.update(left_out)
                    yield following, loaded, dict(problems)
                    problems = Problems()

    def blocks(self, start: Position, shard: int) -> Iterator[tuple[Position, list[tuple]]]:
        """This shard's blocks from a position on: (position, [(file, row group), ...]).

        Raises ValueError where whole epochs hold none.
        """
        shards, epoch, barren = self.ranks * self.workers, start.epoch, 0
        while barren <= shards:
            order = random.Random(f"{self.seed}-{epoch}").sample(self.files, len(self.files))
            together = [order[i : i + INTERLEAVED] for i in range(0, len(order), INTERLEAVED)]
            barren += 1
            for number, urls in enumerate(together):
                if (epoch, number) < (start.epoch, start.files):
                    continue
                for block, groups in enumerate(self.cut(urls)):
                    place = Position(epoch, number, block)
                    passed = (epoch, number, block) < (start.epoch, start.files, start.block)
                    # Shifted by epoch and files: no shard is left without a block for good.
                    if not passed and (epoch + number + block) % shards == shard:
                        barren = 0
                        yield place, groups
            epoch += 1
        raise ValueError(f"{self.files[0]} and the other files hold no rows for every data worker")

    def cut(self, urls: list[str]) -> Iterator[list[tuple]]:
        """The row groups of several files in turns, cut into blocks of `data.buffer` rows."""
        files = [ParquetFile(url, self.cfg.cache) for url in urls]
        most = max(file.file.num_row_groups for file in files)
        block, rows = [], 0
        for group in range(most):
            for file in files:
                if group < file.file.num_row_groups:
                    block.append((file, group))
                    rows += file.rows_in(group)
                if rows >= self.cfg.buffer:
                    yield block
                    block, rows = [], 0
        if block:
            yield block


def read_ahead(blocks: Iterator[tuple]) -> Iterator[tuple[Position, list[Utterance]]]:
    """Each block's utterances; the next block is read while this one is trained on."""
    stop = threading.Event()  # a stream that is closed does not wait for a network

    def read(groups: list[tuple]) -> list[Utterance]:
        return [u for file, group in groups if not stop.is_set() for u in file.read(group, stop)]

    with ThreadPoolExecutor(1) as pool:
        try:
            waiting = []
            for place, groups in blocks:
                waiting.append((place, pool.submit(read, groups)))
                if len(waiting) == 2:
                    place, reading = waiting.pop(0)
                    yield place, reading.result()
        finally:
            stop.set()
