"""How many steps of the decoder each photo's search takes with early_stopping=heuristic and never, and how often both
write the same caption.

    python benchmarks/early_stopping.py FLICKR8K [BUNDLE [PHOTOS]]

Photos of the dev split, one at a time, in each language of the bundle. A step reads one more token of all hypotheses.
"""

import statistics
import sys
from typing import Any

from showtell import Captioner
from showtell.data.spec import read_samples, select_split


def main(folder: str, bundle: str | None = None, photos: int = 150) -> None:
    captioner = Captioner.load(bundle)
    steps, step = 0, captioner.stepper.step

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal steps
        steps += 1
        return step(*arguments, **options)

    captioner.stepper.step = counted
    print("| language | photos | steps, never | heuristic | saved | same caption |\n|---|---|---|---|---|---|")
    for language in captioner.languages:
        samples = select_split(read_samples(f"flickr:{folder}", (language,)), "dev")[:photos]
        counts: dict[str, list[int]] = {"never": [], "heuristic": []}
        texts: dict[str, list[str]] = {"never": [], "heuristic": []}
        for sample in samples:
            for way, found in texts.items():
                steps = 0
                decode = captioner.settings(early_stopping=way)
                found.append(captioner.caption(sample.image, language=language, decode=decode).text)
                counts[way].append(steps)
        never, heuristic = (statistics.mean(counts[way]) for way in ("never", "heuristic"))
        same = sum(a == b for a, b in zip(*texts.values(), strict=True))
        print(
            f"| {language} | {len(samples)} | {never:.1f} | {heuristic:.1f} | {1 - heuristic / never:.0%} | "
            f"{same / len(samples):.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
