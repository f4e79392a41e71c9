"""Exercise 10: the projector's layers. Class 3.

Encoder and decoder were trained apart, and neither knows the other's numbers. The projector turns
stacked frames into what the decoder takes for embeddings: RMSNorm, a gated layer, RMSNorm.
"""

from torch import Tensor


def project(
    stacked: Tensor, norm_in: Tensor, gate: Tensor, up: Tensor, down: Tensor, norm_out: Tensor
) -> Tensor:
    """Stacked frames (B, N, kD) -> audio tokens (B, N, D), through weights that are given.

    norm_in (kD,) and norm_out (D,) are the weights of the norms; gate and up (hidden, kD) and
    down (D, hidden) are those of linear layers without bias. SwiGLU is down(silu(gate x) * up x).

    About 6 lines, of which an RMSNorm, used twice, takes 3. It divides by the root of the mean of
    squares + 1e-6 and then multiplies by its weight; the mean is taken in float32, since squares
    overflow in float16, and the result has the dtype of its input.
    """
    raise NotImplementedError("Exercise 10")
