"""Plausible wrong solutions of exercise 22, each with its mistake as its name."""


def rows(summary, value, how=None):
    search = f"beam {summary['beams']}" if summary["beams"] > 1 else "greedy"
    how = how or f"{summary['normalizer']} normaliser, {search}"
    return [
        ("wer", f"WER ({how})", value(summary["wer"])),
        ("cer", f"CER ({how})", value(summary["cer"])),
        ("wer", f"WER (words as written, {search})", value(summary["raw_wer"])),
    ]


def percent(rate):
    return round(100 * rate, 2)


def fractions(summary):
    return rows(summary, lambda rate: rate)


def rounded_before_it_is_multiplied(summary):
    return rows(summary, lambda rate: round(rate, 2) * 100)


def whole_percent(summary):
    return rows(summary, lambda rate: round(100 * rate))


def not_rounded(summary):
    return rows(summary, lambda rate: 100 * rate)


def text_instead_of_a_number(summary):
    return rows(summary, lambda rate: f"{rate:.2%}")


def always_the_beam(summary):
    how = f"{summary['normalizer']} normaliser, beam {summary['beams']}"
    return rows(summary, percent, how)


def always_the_whisper_normaliser(summary):
    search = f"beam {summary['beams']}" if summary["beams"] > 1 else "greedy"
    return rows(summary, percent, f"whisper normaliser, {search}")


def normaliser_not_named(summary):
    return rows(summary, percent, f"beam {summary['beams']}" if summary["beams"] > 1 else "greedy")


def words_as_written_as_the_wer(summary):
    return rows(summary | {"wer": summary["raw_wer"], "raw_wer": summary["wer"]}, percent)


def the_first_result_alone(summary):
    return rows(summary, percent)[:1]


def rounded_as_a_fraction(summary):
    return rows(summary, lambda rate: 100 * round(rate, 4))


def rows_in_a_tuple(summary):
    return tuple(rows(summary, percent))


WRONG = [fractions, rounded_before_it_is_multiplied, whole_percent, not_rounded,
         text_instead_of_a_number, always_the_beam, always_the_whisper_normaliser,
         normaliser_not_named, words_as_written_as_the_wer, the_first_result_alone,
         rounded_as_a_fraction, rows_in_a_tuple]  # fmt: skip
