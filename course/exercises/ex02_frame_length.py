"""Exercise 2: frame lengths. Class 2.

Of one second, 16,000 samples, the encoder makes about 50 frames. The exact number must be known
beforehand: the mask of a padded batch and the number of audio tokens follow from it.
"""


def frame_length(samples, kernels: tuple[int, ...], strides: tuple[int, ...]):
    """Frames of an utterance of so many samples (int or Tensor), through every convolution.

    About 3 lines. A convolution has no padding: its window of `kernel` values moves by `stride`,
    and gives one value at each place where it fits as a whole. The next convolution gets these.
    Use arithmetic that works for numbers and tensors alike.
    """
    raise NotImplementedError("Exercise 2")
