"""Plausible wrong solutions of exercise 17, each with its mistake as its name."""

import torch


def decode(decoder, x, steps, eos_ids, *, cached=True, everything=False, fill=None, ends=None,
           stop=torch.all, position=-1):  # fmt: skip
    """Right as it stands; each option is a mistake."""
    ends, fill = ends or eos_ids, eos_ids[0] if fill is None else fill
    cache = decoder.new_cache(len(x), 100) if cached else None
    finished = torch.zeros(len(x)).bool()
    out = []
    for _ in range(steps):
        ids = decoder.logits(decoder(x, cache=cache)[:, position]).argmax(-1)
        ids = ids if fill == "own" else torch.where(finished, fill, ids)
        out.append(ids)
        finished = finished | torch.isin(ids, torch.tensor(ends))
        if stop(finished):
            break
        new = decoder.embed(ids)[:, None]
        x = torch.cat((x, new), 1) if everything else new
    return torch.stack(out, 1)


def whole_sequence_without_a_cache(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, cached=False, everything=True)


def whole_sequence_into_the_cache(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, everything=True)


def last_token_without_a_cache(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, cached=False)


def logits_of_the_first_position(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, position=0)


def one_token_too_few(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max(1, max_new_tokens - 1), eos_ids)


def one_pass_too_many(decoder, inputs_embeds, max_new_tokens, eos_ids):
    ids = decode(decoder, inputs_embeds, max_new_tokens, eos_ids)
    decoder(decoder.embed(ids[:, -1:]))
    return ids


def only_the_first_end_token(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, ends=eos_ids[:1])


def ended_rows_go_on(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, fill="own")


def filled_with_zeros(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, fill=0)


def filled_with_the_last_of_the_end_tokens(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, fill=eos_ids[-1])


def stops_when_the_first_row_ends(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, stop=torch.any)


def never_stops_early(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids, stop=lambda finished: False)


def end_token_left_out(decoder, inputs_embeds, max_new_tokens, eos_ids):
    ids = decode(decoder, inputs_embeds, max_new_tokens, eos_ids)
    return ids[:, :-1] if torch.isin(ids[:, -1], torch.tensor(eos_ids)).all() else ids


def ids_as_floats(decoder, inputs_embeds, max_new_tokens, eos_ids):
    return decode(decoder, inputs_embeds, max_new_tokens, eos_ids).float()


WRONG = [whole_sequence_without_a_cache, whole_sequence_into_the_cache, last_token_without_a_cache,
         logits_of_the_first_position, one_token_too_few, one_pass_too_many,
         only_the_first_end_token, ended_rows_go_on, filled_with_zeros,
         filled_with_the_last_of_the_end_tokens, stops_when_the_first_row_ends, never_stops_early,
         end_token_left_out, ids_as_floats]  # fmt: skip
