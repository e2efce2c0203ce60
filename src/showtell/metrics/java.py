"""METEOR and SPICE, from the Java programs in pycocoevalcap (extra `java-metrics`); English only.

The programs run with pycocoevalcap's settings, but each call waits for its process to end: none stays open, and their
messages are shown only when they fail.
"""

from showtell.metrics.java_meteor import MeteorScores, meteor, meteor_from_stats
from showtell.metrics.java_program import check_java
from showtell.metrics.java_spice import spice

__all__ = ["MeteorScores", "check_java", "meteor", "meteor_from_stats", "spice"]
