"""Small whole data sets in every format that `showtell data check` reads, drawn from a seed."""

from __future__ import annotations

import csv
import io
import json
import random
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

SPLITS: Final = ("train",) * 8 + ("dev",) * 2 + ("test",) * 2
NOUNS: Final = ("dog", "child", "horse", "boat", "café", "red car", "man in a hat", "girl's kite", "bird — small")
VERBS: Final = ("runs", "waits", "jumps over a log", 'looks at a sign "stop"', "sleeps", "is near 2 trees")


@dataclass
class Photo:
    name: str
    split: str
    captions: list[str]
    pixels: np.ndarray

    def write(self, path: Path, **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.pixels).save(path, **options)
        return path


def photos(rng: random.Random) -> list[Photo]:
    """Twelve, no two alike, with one to three captions."""
    noise = np.random.default_rng(rng.getrandbits(32))
    result = []
    for number, split in enumerate(SPLITS):
        cells = noise.integers(0, 256, (6, 6, 3), np.uint8)
        pixels = cells.repeat(rng.randint(6, 12), 0).repeat(rng.randint(6, 12), 1)
        captions = [f"A {rng.choice(NOUNS)} {rng.choice(VERBS)} {n}." for n in range(rng.randint(1, 3))]
        result.append(Photo(f"{number:02}-{rng.randrange(1000)}.png", split, captions, pixels))
    return result


def write_csv(folder: Path, items: list[Photo], rng: random.Random) -> str:
    """In one of the encodings and with one of the separators that programs write."""
    delimiter, end = rng.choice([",", ";", "\t"]), rng.choice(["\n", "\r\n"])
    text = io.StringIO()
    table = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    table.writerow(["image", "caption", "split"])
    for photo in items:
        photo.write(folder / photo.name)
        table.writerows([photo.name, caption, photo.split] for caption in photo.captions)
    data = text.getvalue().encode(rng.choice(["utf-8", "utf-8-sig", "utf-16"]))
    (folder / "t.csv").write_bytes(data)
    return f"csv:{folder / 't.csv'}"


def write_jsonl(folder: Path, items: list[Photo], rng: random.Random) -> str:
    key, lines = rng.choice(["image", "file_name"]), []
    for photo in items:
        photo.write(folder / photo.name)
        row = {key: photo.name, "captions": photo.captions, "split": photo.split}
        lines.append(json.dumps(row, ensure_ascii=rng.random() < 0.5))
    (folder / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"jsonl:{folder / 't.jsonl'}"


def write_flickr(folder: Path, items: list[Photo], rng: random.Random) -> str:
    lines = []
    for photo in items:
        photo.write(folder / "images" / photo.name)
        lines += [f"{photo.name}#{n}\t{caption}" for n, caption in enumerate(photo.captions)]
    (folder / "captions.en.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for split in ("train", "dev", "test"):
        names = [photo.name for photo in items if photo.split == split]
        (folder / f"{split}Images.txt").write_text("\n".join(names) + rng.choice(["", "\n"]), encoding="utf-8")
    return f"flickr:{folder}"


def write_coco(folder: Path, items: list[Photo], rng: random.Random) -> str:
    (folder / "annotations").mkdir()
    year = rng.choice(["2014", "2017"])
    for split, ours in (("train", "train"), ("val", "dev")):
        group = [(number, photo) for number, photo in enumerate(items) if photo.split == ours]
        for _, photo in group:
            photo.write(folder / f"{split}{year}" / photo.name)
        document = {
            "images": [{"id": number, "file_name": photo.name} for number, photo in group],
            "annotations": [{"image_id": number, "caption": text} for number, p in group for text in p.captions],
        }
        file = folder / "annotations" / f"captions_{split}{year}.json"
        file.write_text(json.dumps(document), encoding="utf-8")
    return f"coco:{folder}"


def write_karpathy(folder: Path, items: list[Photo], rng: random.Random) -> str:
    images = []
    for photo in items:
        photo.write(folder / "images" / photo.name)
        split = {"dev": "val", "train": rng.choice(["train", "restval"])}.get(photo.split, photo.split)
        sentences = [{"raw": caption} for caption in photo.captions]
        images.append({"filename": photo.name, "split": split, "sentences": sentences})
    (folder / "dataset.json").write_text(json.dumps({"images": images}), encoding="utf-8")
    return f"karpathy:{folder / 'dataset.json'},{folder / 'images'}"


def write_folder(folder: Path, items: list[Photo], rng: random.Random) -> str:
    """In folders of splits, with a text beside each photo."""
    for photo in items:
        path = photo.write(folder / photo.split / photo.name)
        path.with_suffix(".txt").write_text("\n".join(photo.captions) + rng.choice(["", "\n"]), encoding="utf-8")
    return f"folder:{folder}"


def write_imagefolder(folder: Path, items: list[Photo], rng: random.Random) -> str:
    """With a metadata file in each split's folder, as Hugging Face has them."""
    for split in dict.fromkeys(SPLITS):
        group = [photo for photo in items if photo.split == split]
        rows = [{"file_name": photo.name, "text": photo.captions[0]} for photo in group]
        for photo in group:
            photo.write(folder / split / photo.name)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / split / "metadata.jsonl").write_text(text, encoding="utf-8")
    return f"folder:{folder}"


def png(photo: Photo) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photo.pixels).save(buffer, "PNG")
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_shards(folder: Path, items: list[Photo], rng: random.Random) -> str:
    for split in dict.fromkeys(SPLITS):
        with tarfile.open(folder / f"{split}-000.tar", "w") as tar:
            for photo in (item for item in items if item.split == split):
                stem = Path(photo.name).stem
                add(tar, photo.name, png(photo))
                if rng.random() < 0.5:
                    add(tar, f"{stem}.txt", "\n".join(photo.captions).encode())
                else:
                    add(tar, f"{stem}.json", json.dumps({"captions": photo.captions}).encode())
    return f"shards:{folder}/*.tar"


def write_parquet(folder: Path, items: list[Photo], rng: random.Random) -> str:
    import pyarrow
    import pyarrow.parquet

    rows = {
        "image": [{"bytes": png(photo), "path": photo.name} for photo in items],
        "captions": [photo.captions for photo in items],
        "split": [photo.split for photo in items],
    }
    pyarrow.parquet.write_table(pyarrow.table(rows), folder / "t.parquet", row_group_size=rng.randint(2, 12))
    return f"parquet:{folder / 't.parquet'}"


Writer = Callable[[Path, list[Photo], random.Random], str]
FORMATS: Final[dict[str, Writer]] = {
    **{"csv": write_csv, "jsonl": write_jsonl, "flickr": write_flickr, "coco": write_coco},
    **{"karpathy": write_karpathy, "folder": write_folder, "imagefolder": write_imagefolder},
    **{"shards": write_shards, "parquet": write_parquet},
}
