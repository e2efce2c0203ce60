"""No image, no whole one, or one that is not decoded; and images so damaged that both verdicts may be right."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import struct
import tarfile
import zipfile
import zlib

import pillow_heif
from PIL import Image
from tests import bad_images
from tests.core.test_image_guards import COSTLY, chunk, run_length_bmp

from torture.image_case import Case, Family, either, encode, refused, scene

BROKEN = ("truncated", "not_an_image")
SOUND = bad_images.sound_files()
SIGNATURES = {
    **{".jpg": b"\xff\xd8\xff\xe0", ".png": b"\x89PNG\r\n\x1a\n", ".gif": b"GIF89a", ".tif": b"II*\0"},
    **{".webp": b"RIFF\0\1\0\0WEBP", ".bmp": b"BM" + bytes(12) + b"\x28\0\0\0", ".avif": b"\0\0\0\x1cftypavif"},
    ".heic": b"\0\0\0\x18ftypheic",
}


def whole(rng: random.Random) -> tuple[bytes, str]:
    """A file whose parts are all needed, and its suffix."""
    kind = rng.choice(["JPEG", "progressive", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIC"])
    array = scene(rng, 3, "u1", rng.randint(40, 90), rng.randint(40, 90))
    if kind == "progressive":
        return encode(array, "JPEG", progressive=True), ".jpg"
    if kind == "HEIC":
        buffer = io.BytesIO()
        pillow_heif.from_pillow(Image.fromarray(array)).save(buffer)
        return buffer.getvalue(), ".heic"
    return encode(array, kind), {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower()}")


def few_bytes(rng: random.Random) -> Case:
    count = rng.choice([0, 0, 1, 2, 3, 5, 8, 11])
    data, suffix = whole(rng)
    # Eight bytes of AVIF and HEIC are those of a film, which is named.
    return refused(data[:count], suffix, *(("empty",) if not count else (*BROKEN, "unsupported")))


def cut_off(rng: random.Random) -> Case:
    """An interrupted download: at most three quarters are there."""
    data, suffix = whole(rng)
    return refused(data[: int(len(data) * rng.uniform(0.02, 0.75))], suffix, *BROKEN)


def cut_progressive(rng: random.Random) -> Case:
    """Some scans are whole, so that a blurred photo could be shown."""
    data = encode(scene(rng, 3, "u1", 90, 70), "JPEG", progressive=True, quality=95)
    return refused(data[: int(len(data) * rng.uniform(0.2, 0.9))], ".jpg", "truncated")


def zeros_to_the_end(rng: random.Random) -> Case:
    """A download into a file of the final size that stopped half way."""
    kind, suffix = rng.choice([("JPEG", ".jpg"), ("PNG", ".png")])
    data = encode(scene(rng, 3, "u1", 80, 60), kind)
    there = int(len(data) * rng.uniform(0.1, 0.8))
    return refused(data[:there] + bytes(len(data) - there), suffix, *BROKEN)


def text(rng: random.Random) -> Case:
    words = " ".join(rng.choices(["dog", "page", "image", "error", "null", "GIF", "BMW", "404"], k=rng.randint(3, 200)))
    data = rng.choice(
        [
            words,
            f"<!DOCTYPE html>\n<html><body>{words}</body></html>",
            json.dumps({"error": words}),
            f"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>{words}</Message></Error>",
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{rng.getrandbits(256):064x}\nsize 9\n",
            f"image,caption\n1.jpg,{words}\n",
        ]
    )
    encoding = rng.choice(["utf-8", "utf-8-sig", "utf-16"])
    return refused(data.encode(encoding), rng.choice([".jpg", ".png", ".bmp"]), "not_an_image")


def drawing(rng: random.Random) -> Case:
    """SVG, also behind a comment or a declaration, and with what a browser would run or fetch."""
    head = rng.choice(["", "<?xml version='1.0'?>\n", "<!-- drawn -->\n", "\ufeff"])
    inside = rng.choice(
        ["<rect/>", "<script>alert(1)</script>", "<image href='file:///etc/passwd'/>", "<use href='#a'/>" * 99]
    )
    data = f"{head}<svg xmlns='http://www.w3.org/2000/svg' width='64' height='48'>{inside}</svg>"
    return refused(data.encode(), rng.choice([".svg", ".png", ".jpg"]), "unsupported")


def archive(rng: random.Random) -> Case:
    """With a photo inside, under the name of a photo."""
    photo, buffer = encode(scene(rng), "PNG"), io.BytesIO()
    kind = rng.choice(["zip", "tar", "gzip", "bz2", "xz"])
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as zipped:
            zipped.writestr("../../photo.png", photo)
    elif kind == "tar":
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("../photo.png")
            member.size = len(photo)
            tar.addfile(member, io.BytesIO(photo))
    else:
        buffer.write({"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind](photo))
    return refused(buffer.getvalue(), rng.choice([".jpg", ".png"]), "not_an_image")


def other_format(rng: random.Random) -> Case:
    """Pictures that Pillow would decode, and showtell refuses by name."""
    array = scene(rng)
    kind = rng.choice(["JPEG2000", "PPM", "PDF", "EPS", "ICO", "SGI", "PCX", "DDS", "ICNS"])
    data = encode(array, kind)
    return refused(data, rng.choice([".jpg", ".png", f".{kind.lower()}"]), "unsupported")


def noise(rng: random.Random) -> Case:
    data = b"\x07" + rng.randbytes(rng.randint(1, 20_000))  # no signature begins so
    return refused(data, rng.choice([".jpg", ".png", ".gif", ".webp", ".heic"]), "not_an_image")


def signature_and_noise(rng: random.Random) -> Case:
    suffix = rng.choice(sorted(SIGNATURES))
    return either(SIGNATURES[suffix] + rng.randbytes(rng.randint(0, 20_000)), suffix)


def tiny(rng: random.Random) -> Case:
    width, height = rng.randint(1, 7), rng.randint(1, 300)
    if rng.random() < 0.5:
        width, height = height, width
    kind, suffix = rng.choice([("PNG", ".png"), ("JPEG", ".jpg"), ("GIF", ".gif"), ("BMP", ".bmp"), ("WEBP", ".webp")])
    array = scene(rng, 3, "u1", width, height)
    return refused(encode(array, kind), suffix, "too_small")


def huge(rng: random.Random) -> Case:
    """Sides far above the limit, in a file of a few bytes, or a whole one of 50 KB."""
    width, height = rng.randint(30_000, 65_000), rng.randint(30_000, 65_000)
    kind = rng.choice(["PNG", "BMP", "GIF", "TIFF", "whole PNG"])
    if kind == "whole PNG":
        return refused(bad_images.huge_png(), ".png", "too_large")
    if kind == "PNG":
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9999))) + chunk(b"IEND", b"")
    elif kind == "BMP":
        data = run_length_bmp(width, height, b"\0\1")
    elif kind == "GIF":
        data = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6)
        data += b"," + bytes(4) + struct.pack("<HH", width, height) + b"\0\2\2\x44\1\0;"
    else:
        tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (277, 1)]
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (273, 8), (279, 8)])
        data = b"II*\0" + struct.pack("<IH", 8, 8) + entries + bytes(4)
    return refused(data, {"TIFF": ".tif"}.get(kind, f".{kind.lower()}"), "too_large", "truncated")


def costly(rng: random.Random) -> Case:
    """Small files that would take Pillow seconds or gigabytes."""
    name = rng.choice(sorted(COSTLY))
    return refused(COSTLY[name](), f".{name.partition(' ')[0]}", "too_large")


def bits_flipped(rng: random.Random) -> Case:
    data = bytearray(SOUND[rng.choice(sorted(SOUND))])
    for _ in range(rng.choice([1, 1, 2, 8, 32])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return either(bytes(data), ".jpg")


def header_changed(rng: random.Random) -> Case:
    data = bytearray(SOUND[rng.choice(sorted(SOUND))])
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(min(len(data), 120))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return either(bytes(data), ".png")


def spliced(rng: random.Random) -> Case:
    """Parts removed, repeated, exchanged, or of another file."""
    data, other = (SOUND[rng.choice(sorted(SOUND))] for _ in range(2))
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    c, d = sorted(rng.randrange(len(other)) for _ in range(2))
    changed = rng.choice(
        [data[:a] + data[b:], data[:b] + data[a:], data[:a] + other[c:], data[:a] + other[c:d] + data[b:]]
    )
    return either(changed or b"\0", ".webp")


BAD: dict[str, Family] = {
    family.__name__: family
    for family in (
        *(few_bytes, cut_off, cut_progressive, zeros_to_the_end, text, drawing, archive, other_format, noise),
        *(signature_and_noise, tiny, huge, costly, bits_flipped, header_changed, spliced),
    )
}
