"""Caption metrics: BLEU, ROUGE-L, CIDEr, diversity, METEOR and SPICE, with confidence intervals."""

from showtell.metrics.evaluation import Evaluation, score

__all__ = ["Evaluation", "score"]
