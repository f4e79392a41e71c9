"""Plausible wrong solutions of exercise 14, each with its mistake as its name."""

import math


def nothing_at_the_first_step(step, cfg):
    if step < cfg.warmup:
        return step / cfg.warmup
    done = (step - cfg.warmup) / (cfg.steps - cfg.warmup)
    return cfg.lr_floor + (1 - cfg.lr_floor) * (1 + math.cos(math.pi * done)) / 2


def cosine_over_the_warmup_too(step, cfg):
    if step < cfg.warmup:
        return (step + 1) / cfg.warmup
    done = step / cfg.steps
    return cfg.lr_floor + (1 - cfg.lr_floor) * (1 + math.cos(math.pi * done)) / 2


def floor_added_on_top(step, cfg):
    if step < cfg.warmup:
        return (step + 1) / cfg.warmup
    done = (step - cfg.warmup) / (cfg.steps - cfg.warmup)
    return cfg.lr_floor + (1 + math.cos(math.pi * done)) / 2


def floor_as_a_minimum(step, cfg):
    if step < cfg.warmup:
        return (step + 1) / cfg.warmup
    done = (step - cfg.warmup) / (cfg.steps - cfg.warmup)
    return max(cfg.lr_floor, (1 + math.cos(math.pi * done)) / 2)


def a_straight_line_down(step, cfg):
    if step < cfg.warmup:
        return (step + 1) / cfg.warmup
    done = (step - cfg.warmup) / (cfg.steps - cfg.warmup)
    return 1 - (1 - cfg.lr_floor) * done


def quarter_of_a_period(step, cfg):
    if step < cfg.warmup:
        return (step + 1) / cfg.warmup
    done = (step - cfg.warmup) / (cfg.steps - cfg.warmup)
    return cfg.lr_floor + (1 - cfg.lr_floor) * math.cos(math.pi / 2 * done)


WRONG = [nothing_at_the_first_step, cosine_over_the_warmup_too, floor_added_on_top,
         floor_as_a_minimum, a_straight_line_down, quarter_of_a_period]  # fmt: skip
