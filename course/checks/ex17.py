"""Exercise 17: greedy decoding with a cache, as Qwen3.generate."""

import torch
from torch import nn

from checkpoints import Qwen3Config
from course.checking import equal, generator, replacing
from tinyaudio import Qwen3

NAME = "greedy"
STEPS = Qwen3.steps  # the repository's own, also while another is installed
CONFIG = Qwen3Config(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    intermediate_size=16, vocab_size=80, rms_norm_eps=1e-6, rope_theta=1e4,
    tie_word_embeddings=False, qk_norm=True, qkv_bias=False, o_bias=False,
)  # fmt: skip


def reference(decoder, inputs_embeds, max_new_tokens, eos_ids):
    """Qwen3.generate for prompts of one length."""
    return torch.stack(list(STEPS(decoder, inputs_embeds, max_new_tokens, eos_ids)), dim=1)


def installed(piece):
    def steps(self, inputs_embeds, max_new_tokens, eos_ids=(), mask=None, stop=None):
        mask = torch.ones(inputs_embeds.shape[:2]).bool() if mask is None else mask
        rows = []
        for embeds, valid in zip(inputs_embeds, mask, strict=True):  # the piece knows no padding
            ids = piece(self, embeds[valid][None], max_new_tokens, eos_ids)[0]
            ends = (n for n in range(1, len(ids)) if stop is not None and stop(ids[:n].tolist()))
            rows.append(ids[: next(ends, len(ids))])
        yield from nn.utils.rnn.pad_sequence(rows, padding_value=eos_ids[0])

    return replacing((Qwen3, "steps"))(steps)


class Decoder(Qwen3):
    """Notes of every pass how many positions it computes and how many the cache holds then."""

    def __init__(self, g: torch.Generator):
        super().__init__(CONFIG)
        self.requires_grad_(False)
        for p in self.parameters():
            if p.ndim == 2:
                p.normal_(0, 2 * p.shape[1] ** -0.5, generator=g)
        self.passes = []

    def forward(self, inputs_embeds=None, input_ids=None, mask=None, cache=None):
        hidden = super().forward(inputs_embeds, input_ids, mask, cache)
        self.passes.append((hidden.shape[1], cache.length if cache is not None else 0))
        return hidden


def drawn(g: torch.Generator):
    """A decoder, three prompts and two end tokens such that the second row ends first.

    With 10 tokens the first row ends at its seventh with the first end token, the second row at
    its third with the second one, and the third row never; the positions of its prompt before the
    last predict something else than the last one.
    """
    while True:
        decoder, prompts = Decoder(g), torch.randn(3, 5, CONFIG.hidden_size, generator=g)
        free = reference(decoder, prompts, 10, ())
        eos = free[0, 6].item(), free[1, 2].item()
        ends = [[i for i, token in enumerate(row) if token in eos] for row in free.tolist()]
        firsts = [row[0] if row else None for row in ends]
        # Behind its end token the second row would go on with something else than end tokens.
        goes_on = free[1, 3].item() not in eos and 0 != eos[0] != eos[1]
        predicted = decoder.logits(decoder(prompts))[2].argmax(-1)
        if firsts == [6, 2, None] and goes_on and predicted[-1] not in predicted[:-1]:
            return decoder, prompts, eos


def check(solution) -> None:
    decoder, prompts, eos = drawn(generator())

    def compare(rows, tokens: int, case: str, hint: str, eos=eos) -> None:
        passes = []
        for greedy in (solution, reference):
            decoder.passes = []
            passes.append((greedy(decoder, prompts[rows], tokens, eos), decoder.passes))
        (yours, own), (expected, theirs) = passes
        equal(yours, expected, case, hint)
        equal(yours.dtype, torch.int64, f"{case}: the dtype of the ids", "argmax gives int64")
        hint = (
            "the whole prompt, then one position at a time into the same cache, none after the last"
        )
        case = f"{case}: (positions computed, positions in the cache) of each pass"
        equal(own, theirs, case, hint)

    hint = "the logits of the last position, and of them the largest"
    compare([2], 1, "one row, one token", hint)
    hint = "feed the embedding of the token just written, and as many tokens as asked for"
    compare([2], 10, "one row that does not end, 10 tokens", hint)
    hint = "the end token belongs to the result, and nothing behind it"
    compare([0], 10, "one row that ends with its seventh token", hint)
    compare([1], 10, "one row that ends with the second of eos_ids", "any of eos_ids ends a row")
    hint = "remember which rows have ended; put eos_ids[0] there, stop when all of them have"
    compare([0, 1], 10, "two rows that end with their seventh and their third token", hint)
    compare([0, 1, 2], 10, "three rows, of which the last does not end", hint)
    hint = "with a single end token the comparison must work too"
    compare([1, 2], 10, "two rows, one end token", hint, eos=eos[1:])
