"""Text to token ids and back, and where generated ids begin to go round in circles."""

import math
from pathlib import Path

from tokenizers import Tokenizer as FastTokenizer


class Tokenizer:
    """Text to ids and back, from tokenizer.json (tokenizers) or tokenizer.model (sentencepiece)."""

    FILES = ("tokenizer.json", "tokenizer.model")

    def __init__(self, folder: Path):
        """Raises FileNotFoundError where the folder holds neither file, or ValueError."""
        self.files = [folder / name for name in self.FILES if (folder / name).is_file()]
        if not self.files:
            raise FileNotFoundError(f"{folder}: holds neither {' nor '.join(self.FILES)}")
        self.fast = self.pieces = None
        try:
            if self.files[0].name == "tokenizer.json":
                self.fast = FastTokenizer.from_file(str(self.files[0]))
            else:
                from sentencepiece import SentencePieceProcessor

                self.pieces = SentencePieceProcessor(model_file=str(self.files[0]))
        except Exception as error:  # each library has its own
            raise ValueError(f"{self.files[0]}: no tokenizer that can be read ({error})") from None

    def encode(self, text: str, start: bool = False) -> list[int]:
        """Ids of a text; `start` puts the tokenizer's own beginning (Llama's <s>) before it."""
        if self.fast is not None:
            return self.fast.encode(text, add_special_tokens=start).ids
        return self.pieces.encode(text, add_bos=start and self.pieces.bos_id() >= 0)

    def decode(self, ids: list[int]) -> str:
        """The text of ids, special tokens left out."""
        if self.fast is not None:
            return self.fast.decode(ids, skip_special_tokens=True)
        return self.pieces.decode([i for i in ids if not self.pieces.is_control(i)])


def loop_start(ids: list[int]) -> int | None:
    """Where the second round of a repetition that ends `ids` begins; None if nothing repeats.

    A known failure on noise and silence. A loop is the same 1 to 16 tokens over and over, four
    times at least and 16 tokens at least: people do say "no no no" and "five five five five".
    """
    for period in range(1, 17):
        rounds = max(4, math.ceil(16 / period))
        tail = ids[-period * rounds :]
        if len(tail) == period * rounds and tail == tail[:period] * rounds:
            start = len(ids) - len(tail)
            while start >= period and ids[start - period : start] == tail[:period]:
                start -= period
            return start + period
    return None


def repeated(ids: list[int]) -> int:
    """How many of the last ids only repeat those 1 to 16 places before: a loop's later rounds."""
    longest = 0
    for period in range(1, 17):
        n = 0
        while n + period < len(ids) and ids[-1 - n] == ids[-1 - n - period]:
            n += 1
        longest = max(longest, n)
    return longest


def is_looping(ids: list[int]) -> bool:
    return loop_start(ids) is not None
