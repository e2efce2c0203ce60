"""The dev photos with the lowest CIDEr of a model, and a contact sheet of them.

    python benchmarks/worst.py FLICKR8K SHEET.jpg [LANGUAGE] [BUNDLE]

Flickr8k's photos may not be redistributed, and neither may the sheet.
"""

import sys

from PIL import Image, ImageDraw, ImageFont, ImageOps

from showtell import Captioner
from showtell.core.image import load_image
from showtell.data.spec import read_samples, select_split
from showtell.metrics import Evaluation

COUNT, COLUMNS, WIDTH, HEIGHT, TOKENIZER = 24, 6, 280, 200, 44


def main(folder: str, sheet: str, language: str = "en", bundle: str | None = None) -> None:
    samples = select_split(read_samples(f"flickr:{folder}", (language,)), "dev")
    captioner = Captioner.load(bundle)
    rows = captioner.caption_many([sample.image for sample in samples], language=language)
    captions = {s.name: row.captions[0] for s, row in zip(samples, rows, strict=True)}
    evaluation = Evaluation({n: c.text for n, c in captions.items()}, {s.name: s.captions for s in samples}, language)
    cider = dict(zip(captions, evaluation.per_image["CIDEr"], strict=True))
    for bound in (0.01, 0.05, 0.1, 0.25):
        print(f"CIDEr below {bound}: {sum(value < bound for value in cider.values()) / len(cider):.1%} of the photos")
    # Most of the worst have CIDEr 0; of these, the ones with the highest confidence.
    worst = sorted(samples, key=lambda s: (round(cider[s.name], 3), -captions[s.name].confidence))[:COUNT]
    size = (COLUMNS * WIDTH, -(-COUNT // COLUMNS) * (HEIGHT + TOKENIZER))
    paper = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(13)
    for n, sample in enumerate(worst):
        caption, place = captions[sample.name], (n % COLUMNS * WIDTH, n // COLUMNS * (HEIGHT + TOKENIZER))
        paper.paste(ImageOps.fit(load_image(sample.image), (WIDTH - 8, HEIGHT)), place)
        half = len(words := caption.text.split()) // 2
        for line, part in enumerate((words[:half], words[half:])):
            draw.text((place[0], place[1] + HEIGHT + 4 + 17 * line), " ".join(part), "black", font)
        print(f"{sample.name}\t{cider[sample.name]:.3f}\t{caption.confidence:.2f}\t{caption.text}")
    paper.save(sheet, quality=85)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
