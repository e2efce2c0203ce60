"""METEOR and SPICE, from the Java programs in pycocoevalcap (extra `java-metrics`); for English.

The programs run as pycocoevalcap runs them, but to their end at every call: nothing stays open, and what they print
beside the result is seen only when they fail.
"""

from showtell.metrics.java_meteor import Meteor, meteor, meteor_score
from showtell.metrics.java_program import check_java
from showtell.metrics.java_spice import spice

__all__ = ["Meteor", "check_java", "meteor", "meteor_score", "spice"]
