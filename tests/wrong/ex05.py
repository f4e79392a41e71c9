"""Plausible wrong solutions of exercise 5, each with its mistake as its name."""

import torch

from projector import RMSNorm


class MeanSubtracted(RMSNorm):
    def forward(self, x):
        return super().forward(x - x.mean(-1, keepdim=True))


class SumInsteadOfMean(RMSNorm):
    def forward(self, x):
        squares = x.float().pow(2).sum(-1, keepdim=True)
        return self.weight * (x.float() * torch.rsqrt(squares + self.eps)).to(x.dtype)


class OverAllPositions(RMSNorm):
    def forward(self, x):
        squares = x.float().pow(2).mean()
        return self.weight * (x.float() * torch.rsqrt(squares + self.eps)).to(x.dtype)


class OverTheSecondAxis(RMSNorm):
    def forward(self, x):
        squares = x.float().pow(2).mean(1, keepdim=True)
        return self.weight * (x.float() * torch.rsqrt(squares + self.eps)).to(x.dtype)


class WeightLeftOut(RMSNorm):
    def forward(self, x):
        squares = x.float().pow(2).mean(-1, keepdim=True)
        return (x.float() * torch.rsqrt(squares + self.eps)).to(x.dtype)


class WithoutEps(RMSNorm):
    def forward(self, x):
        squares = x.float().pow(2).mean(-1, keepdim=True)
        return self.weight * (x.float() / squares.sqrt()).to(x.dtype)


class EpsOutsideTheRoot(RMSNorm):
    def forward(self, x):
        rms = x.float().pow(2).mean(-1, keepdim=True).sqrt()
        return self.weight * (x.float() / (rms + self.eps)).to(x.dtype)


class EpsOfItsOwn(RMSNorm):
    def forward(self, x):
        squares = x.float().pow(2).mean(-1, keepdim=True)
        return self.weight * (x.float() * torch.rsqrt(squares + 1e-6)).to(x.dtype)


class ComputedAsItCame(RMSNorm):
    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class SquaredAsItCame(RMSNorm):
    def forward(self, x):
        squares = x.pow(2).float().mean(-1, keepdim=True)
        return self.weight * (x.float() * torch.rsqrt(squares + self.eps)).to(x.dtype)


class LeftInFloat32(RMSNorm):
    def forward(self, x):
        squares = x.float().pow(2).mean(-1, keepdim=True)
        return self.weight * (x.float() * torch.rsqrt(squares + self.eps))


class DividedInPlace(RMSNorm):
    def forward(self, x):
        x32 = x.float()
        x32 /= (x32.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()
        return self.weight * x32.to(x.dtype)


WRONG = [MeanSubtracted, SumInsteadOfMean, OverAllPositions, OverTheSecondAxis, WeightLeftOut,
         WithoutEps, EpsOutsideTheRoot, EpsOfItsOwn, ComputedAsItCame, SquaredAsItCame,
         LeftInFloat32, DividedInPlace]  # fmt: skip
