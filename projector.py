"""AudioProjector: encoder frames in, the decoder's embeddings out. Trained from random weights.

Shape letters: B batch, F encoder frames, N audio tokens, D width, k frames stacked into one token.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """W x in the number format of x. W is kept in float32 where it is trained: in bfloat16 most of
    the optimizer's small steps would be rounded away."""

    def __init__(self, in_features: int, out_features: int, device=None):
        super().__init__(in_features, out_features, bias=False, device=device)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · weight over the last axis (Zhang & Sennrich 2019)."""

    def __init__(self, dim: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        # In float32 whatever comes in; on CUDA one kernel, where the formula's steps are eight.
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


class SwiGLU(nn.Module):
    """Gated feed-forward layer, down(silu(gate x) * up x) (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, dim: int, hidden: int, out: int):
        super().__init__()
        self.gate_proj, self.up_proj = Linear(dim, hidden), Linear(dim, hidden)
        self.down_proj = Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class AudioProjector(nn.Module):
    """Stack k encoder frames into one audio token and map it into the decoder's embedding space.

    (B, F, encoder_dim) -> RMSNorm -> SwiGLU -> RMSNorm -> (B, ceil(F / k), decoder_dim).
    """

    def __init__(self, encoder_dim: int, decoder_dim: int, k: int, hidden: int):
        super().__init__()
        self.k = k
        self.norm_in = RMSNorm(k * encoder_dim)
        self.mlp = SwiGLU(k * encoder_dim, hidden, decoder_dim)
        self.norm_out = RMSNorm(decoder_dim)

    def scale_to(self, embeddings: Tensor) -> None:
        """Start at the RMS of the decoder's embeddings (V, D): a 30x mismatch starves training."""
        rms = embeddings.pow(2).mean(dtype=torch.float32).sqrt().item()
        nn.init.constant_(self.norm_out.weight, rms)

    def token_length(self, frames):
        """Audio tokens for a number of encoder frames (int or Tensor)."""
        return (frames + self.k - 1) // self.k

    def forward(self, frames: Tensor) -> Tensor:
        B, F_, D = frames.shape
        frames = F.pad(frames, (0, 0, 0, -F_ % self.k))  # zeros complete the last stack
        x = frames.reshape(B, -1, self.k * D)  # (B, N, k*D)
        return self.norm_out(self.mlp(self.norm_in(x)))
