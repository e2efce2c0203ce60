"""How good captions are: the metrics of the COCO challenge, without Java, and how sure they are."""

from showtell.metrics.evaluation import Evaluation, score

__all__ = ["Evaluation", "score"]
