"""Scores of human captions: each one of Flickr8k's dev photos against the other four, mean over the five.

python benchmarks/people.py ../shared/flickr8k [LANGUAGE]
"""

import sys
from statistics import mean

from showtell.data.spec import read_samples, select_split
from showtell.metrics import score


def main(folder: str, language: str = "en") -> None:
    samples = select_split(read_samples(f"flickr:{folder}", (language,)), "dev")
    rounds = []
    for held_out in range(5):
        candidates = {sample.name: sample.captions[held_out] for sample in samples}
        references = {s.name: [*s.captions[:held_out], *s.captions[held_out + 1 :]] for s in samples}
        rounds.append(score(candidates, references, language))
    for name in rounds[0]:
        values = [scores[name] for scores in rounds]
        print(f"{name:15}{mean(values):9.4f}   {min(values):.4f} to {max(values):.4f}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
