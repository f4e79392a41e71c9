"""Exercise 11: splice and label mask. Class 4.

To train, the decoder is fed prompt, audio tokens and answer as one sequence, and learns to write
the answer alone. Labels say at each position which token comes next, or that none is asked for.
"""

from collections.abc import Callable

from torch import Tensor


def splice(
    prefix: Tensor, audio: Tensor, suffix: Tensor, answer_ids: list[int], embed: Callable
) -> tuple[Tensor, Tensor]:
    """One utterance -> (embeddings (S, D), labels (S,) of dtype int64).

    The prompt is prefix (P, D), audio tokens (N, D), suffix (Q, D). Audio tokens may come in
    another dtype; the embeddings returned have the prefix's. answer_ids, the end token last, are
    embedded by embed(ids (n,)) -> (n, D), which takes a tensor of int64; of an empty text they are
    the end token alone, and torch.tensor([]) needs to be told dtype=torch.int64.

    About 5 lines. The last position of the prompt already predicts the answer's first token; the
    end token is predicted, but never fed. Positions that predict nothing of the answer have the
    label -100, which F.cross_entropy leaves out.
    """
    raise NotImplementedError("Exercise 11")
