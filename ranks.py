"""Several GPUs, one run: what the processes (ranks) that torchrun starts say to each other.

Every rank trains on batches of its own. The trained weights are the same on all of them: they start
alike, and once a step all ranks add up the same gradients, as DistributedDataParallel does. The
frozen layers can be split over the ranks and put together as they are needed (FSDP2). Without
torchrun there is one rank, and nothing here has anything to do.
"""

import atexit
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

RANKS = int(os.environ.get("WORLD_SIZE", 1))
RANK = int(os.environ.get("RANK", 0))


def join(device: str) -> None:
    """Meet the other ranks, on `train.device`; of this machine's GPUs, each takes its own.
    Raises ValueError where there are too few, or where one is named."""
    if RANKS > 1:
        on_gpus = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        if RANK > 0:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  one rank speaks for all
        if on_gpus:
            own, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
            if ":" in device or own >= there:
                raise ValueError(
                    f"train.device={device}: each rank takes a GPU of its own, and {there} are "
                    "there; say train.device=cuda, and --nproc-per-node as many"
                )
            torch.cuda.set_device(own)
        # One may have to make a corpus, or to wait for a network, while the others wait for it.
        dist.init_process_group("nccl" if on_gpus else "gloo", timeout=timedelta(hours=3))
        atexit.register(leave)


def leave() -> None:
    """Part from the other ranks, at the process's end."""
    dist.destroy_process_group()
    # gloo's threads still hand back the last tensors. They take Python's lock for it, and would
    # abort a process whose interpreter is already ending (torch 2.11).
    time.sleep(0.2)


@contextmanager
def in_turn() -> Iterator[None]:
    """Rank 0 first, the others when it is through: they find the files that it has made."""
    if RANK > 0:
        together(dist.barrier)
    yield
    if RANK == 0:
        together(dist.barrier)


def together(operation, *arguments) -> None:
    """An operation of all ranks. Raises ConnectionError where it fails: one of them is gone."""
    if RANKS > 1:
        try:
            operation(*arguments)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ConnectionError(f"another rank has ended ({reason})") from None


def total(*numbers: float) -> list[float]:
    """The sum of each number over all ranks."""
    device = "cuda" if RANKS > 1 and dist.get_backend() == "nccl" else "cpu"
    sums = torch.tensor(numbers, dtype=torch.float64, device=device)
    together(dist.all_reduce, sums)
    return sums.tolist()


def add_up(tensors: list[Tensor]) -> None:
    """Each becomes its sum over all ranks, in one exchange."""
    if RANKS > 1:
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        together(dist.all_reduce, flat)
        sums = flat.split([tensor.numel() for tensor in tensors])
        for tensor, its_sum in zip(tensors, sums, strict=True):
            tensor.copy_(its_sum.view_as(tensor))


def start_alike(parameters: list[nn.Parameter]) -> None:
    """Every rank takes rank 0's weights."""
    for p in parameters:
        together(dist.broadcast, p.data, 0)


def gather(value) -> list:
    """The value of each rank, by rank; JSON-like."""
    values = [value] * RANKS
    together(dist.all_gather_object, values, value)
    return values


def split_frozen(model: nn.Module) -> None:
    """Each rank keeps its share of the frozen weights of every layer of a TinyAudio's encoder and
    decoder: FSDP2's fully_shard.

    A layer's other shares come over the network when it is called, forwards and backwards, and
    are dropped after it; so all ranks must call the same layers as often, in evaluation too. What
    is trained stays whole on every rank.
    """
    if RANKS > 1:
        from torch.distributed.fsdp import fully_shard

        encoder, decoder = model.encoder.encoder, model.decoder
        for part, layers in ((encoder, encoder.layers), (decoder, decoder.model["layers"])):
            for layer in layers:
                trained = {p for p in layer.parameters() if p.requires_grad}
                fully_shard(layer, ignored_params=trained, reshard_after_forward=True)
            # One root for all of them: the next layer's shares travel while this one computes.
            fully_shard(part, ignored_params=set(part.parameters()))
