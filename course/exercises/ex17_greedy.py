"""Exercise 17: greedy decoding with a cache. Class 5.

The decoder writes a text token by token, each time the most probable one. The cache keeps keys and
values of all positions so far, so that a step costs one position and not the whole sequence again.
"""

from torch import Tensor


def greedy(decoder, inputs_embeds: Tensor, max_new_tokens: int, eos_ids: tuple[int, ...]) -> Tensor:
    """Prompts (B, S, D), all of one length -> the ids written, (B, at most max_new_tokens).

    decoder.new_cache(batch, capacity) makes an empty cache for so many positions;
    decoder(inputs_embeds, cache=cache) gives hidden states (B, S, D) of positions that continue
    what the cache holds, and adds them to it; decoder.logits(hidden) gives logits (..., V);
    decoder.embed(ids) gives embeddings (..., D).

    About 16 lines. A row ends with any of eos_ids, which belongs to the result; behind it the row
    is filled with eos_ids[0] until all rows have ended. One pass a token, none after the last.
    """
    raise NotImplementedError("Exercise 17")
