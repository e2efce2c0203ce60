"""What people score: each human caption of Flickr8k's dev photos against the other four, mean over the five.

python benchmarks/people.py ../shared/flickr8k [LANGUAGE]
"""

import sys
from statistics import mean

from showtell.data.spec import of_split, read_samples
from showtell.metrics import score


def main(folder: str, language: str = "en") -> None:
    samples = of_split(read_samples(f"flickr:{folder}", (language,)), "dev")
    found = []
    for place in range(5):
        candidates = {sample.name: sample.captions[place] for sample in samples}
        references = {s.name: [*s.captions[:place], *s.captions[place + 1 :]] for s in samples}
        found.append(score(candidates, references, language))
    for name in found[0]:
        values = [each[name] for each in found]
        print(f"{name:15}{mean(values):9.4f}   {min(values):.4f} to {max(values):.4f}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
