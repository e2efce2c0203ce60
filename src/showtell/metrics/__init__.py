"""How good captions are: the metrics of the COCO challenge, without Java."""

from showtell.metrics.report import score

__all__ = ["score"]
