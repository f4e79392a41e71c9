"""Plausible wrong solutions of exercise 11, each with its mistake as its name."""

import torch


def fed(prefix, audio, suffix, ids, embed):
    return torch.cat((prefix, audio.to(prefix.dtype), suffix, embed(torch.tensor(ids).long())))


def labels_not_shifted(prefix, audio, suffix, answer_ids, embed):
    embeds = fed(prefix, audio, suffix, answer_ids[:-1], embed)
    prompt = len(prefix) + len(audio) + len(suffix)
    return embeds, torch.tensor([-100] * prompt + answer_ids[:-1])


def end_token_fed(prefix, audio, suffix, answer_ids, embed):
    embeds = fed(prefix, audio, suffix, answer_ids, embed)
    prompt = len(prefix) + len(audio) + len(suffix)
    return embeds, torch.tensor([-100] * (prompt - 1) + answer_ids + [-100])


def end_token_not_predicted(prefix, audio, suffix, answer_ids, embed):
    embeds = fed(prefix, audio, suffix, answer_ids[:-1], embed)
    prompt = len(prefix) + len(audio) + len(suffix)
    return embeds, torch.tensor([-100] * (prompt - 1) + answer_ids[:-1] + [-100])


def zero_in_place_of_ignore(prefix, audio, suffix, answer_ids, embed):
    embeds = fed(prefix, audio, suffix, answer_ids[:-1], embed)
    prompt = len(prefix) + len(audio) + len(suffix)
    return embeds, torch.tensor([0] * (prompt - 1) + answer_ids)


def audio_after_the_suffix(prefix, audio, suffix, answer_ids, embed):
    embeds = fed(prefix, suffix, audio, answer_ids[:-1], embed)
    prompt = len(prefix) + len(audio) + len(suffix)
    return embeds, torch.tensor([-100] * (prompt - 1) + answer_ids)


def audio_in_its_own_dtype(prefix, audio, suffix, answer_ids, embed):
    answer = embed(torch.tensor(answer_ids[:-1]).long())
    embeds = torch.cat((prefix, audio, suffix, answer))
    prompt = len(prefix) + len(audio) + len(suffix)
    return embeds, torch.tensor([-100] * (prompt - 1) + answer_ids)


WRONG = [labels_not_shifted, end_token_fed, end_token_not_predicted, zero_in_place_of_ignore,
         audio_after_the_suffix, audio_in_its_own_dtype]  # fmt: skip
