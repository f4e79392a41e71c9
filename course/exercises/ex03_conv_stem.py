"""Exercise 3: the convolution stem. Class 2.

The encoder's first part turns samples into features: a few convolutions, each followed by a norm
and a GELU, learn what a spectrogram would compute. They leave one frame for 320 samples.
"""

from torch import Tensor


def conv_stem(waveforms: Tensor, layers: list[tuple]) -> Tensor:
    """Waveforms (B, T) -> features (B, F, C), C the channels of the last layer.

    `layers` holds, first to last, (weight (C', C, kernel), bias (C',), stride, norm_weight (C',),
    norm_bias (C',)) of each layer, from C channels to C'; the waveform is one channel.

    About 7 lines. Each layer is a convolution without padding, then a layer norm over the channels
    of each frame (eps 1e-5), then GELU. F.conv1d, F.layer_norm and F.gelu of torch.nn.functional
    may be used; watch which axis a function takes for the channels. To see that a convolution is a
    matrix product, write it with Tensor.unfold instead.
    """
    raise NotImplementedError("Exercise 3")
