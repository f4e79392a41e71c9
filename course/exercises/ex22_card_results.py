"""Exercise 22: the results on a model card. Class 6.

The Hub shows a model's error rates and compares them with those of others. Another normaliser or
another search gives another rate of the same model, so each rate is named by how it was found.
"""


def model_index(summary: dict) -> list[tuple[str, str, float]]:
    """The results in eval.py's summary.json as rows (metric, name, value in percent).

    With normalizer "whisper" and beams 4 the rows are, in this order,
        ("wer", "WER (whisper normaliser, beam 4)", of summary["wer"])
        ("cer", "CER (whisper normaliser, beam 4)", of summary["cer"])
        ("wer", "WER (words as written, beam 4)", of summary["raw_wer"])

    About 7 lines. The search is called greedy where beams is 1. Rates in summary.json are
    fractions; on a card they are numbers in percent, each rounded to two digits behind the point
    after it was multiplied by 100.
    """
    raise NotImplementedError("Exercise 22")
