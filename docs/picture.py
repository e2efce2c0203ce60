"""Draws docs/examples.jpg: the example photos with the captions that the built-in model writes for them.

python docs/picture.py
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from showtell import Captioner

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT, TEXT, GAP, COLUMNS = 420, 280, 64, 18, 3
NOTE = 40  # of the width, for the confidence
PAPER, INK, FAINT = "#ffffff", "#1a1a1a", "#777777"


def lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The words of `text` in lines no wider than `width` pixels."""
    found = [""]
    for word in text.split():
        longer = f"{found[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            found[-1] = longer
        else:
            found.append(word)
    return found


def main() -> None:
    photos = sorted((ROOT / "examples").glob("*.jpg"))
    rows = -(-len(photos) // COLUMNS)
    size = (COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + TEXT + GAP) + GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(19), ImageFont.load_default(13)
    for n, row in enumerate(Captioner.load().caption_many(photos)):
        left, top = GAP + n % COLUMNS * (WIDTH + GAP), GAP + n // COLUMNS * (HEIGHT + TEXT + GAP)
        with Image.open(photos[n]) as photo:
            sheet.paste(ImageOps.fit(photo.convert("RGB"), (WIDTH, HEIGHT)), (left, top))
        caption = row.captions[0]
        for k, line in enumerate(lines(caption.text, large, WIDTH - NOTE)[:2]):
            draw.text((left, top + HEIGHT + 8 + 24 * k), line, INK, large)
        note = f"{caption.confidence:.2f}"
        draw.text((left + WIDTH - small.getlength(note), top + HEIGHT + 12), note, FAINT, small)
    sheet.save(ROOT / "docs" / "examples.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
