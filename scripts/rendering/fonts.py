"""The fonts of the packages in font_packages.tsv, as far as they can draw every character of a set."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageFont, ImageStat

from rendering.packages import Package, files_of, font_packages, installed_version

# Of the families of scripts other than Latin some carry Latin letters of another family.
LATIN_OF_NOTO = ("NotoSans-", "NotoSerif-", "NotoSansMono", "NotoMono", "NotoSansDisplay-", "NotoSerifDisplay-")
FILES_A_FAMILY = 4
FILES_A_PACKAGE = 16
UNICASE_PAIRS = "abdeghmnqrt"
SAME_SHAPE = 0.165  # half of the pairs differ by less where small letters are capitals; measured on all of these fonts


@dataclass(frozen=True)
class Font:
    path: Path
    family: str
    style: str
    package: Package


def load(path, size):
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def drawn(font, character):
    """(width, height, bytes) of its pixels."""
    mask = font.getmask(character, mode="L")
    return *mask.size, bytes(mask)


def shape(font, character):
    """Its ink alone, stretched to one size."""
    width, height, pixels = drawn(font, character)
    image = Image.frombytes("L", (width, height), pixels)
    return image.crop(image.getbbox()).resize((16, 16), Image.Resampling.BOX)


def difference(a, b):
    return ImageStat.Stat(ImageChops.difference(a, b)).mean[0] / 255


def unusable(path, characters):
    """Why a font can't be used; None where it can."""
    font = load(path, 40)
    none = drawn(font, "\uffff")  # no character: what the font draws for those that it lacks
    for character in characters:
        pixels = drawn(font, character)
        if pixels == none or not any(pixels[2]):
            return f"has no {character}"
    differences = [difference(shape(font, small), shape(font, small.upper())) for small in UNICASE_PAIRS]
    return "has no lower case" if statistics.median(differences) < SAME_SHAPE else None


def candidates(package):
    """The package's font files, a few of each family."""
    kept, of_family = [], {}
    for path in files_of(package.name):
        if path.suffix.lower() not in (".ttf", ".otf") or path.is_symlink():
            continue
        if path.name.startswith("Noto") and not path.name.startswith(LATIN_OF_NOTO):
            continue
        family, style = load(path, 10).getname()
        family, style = family or path.stem, style or ""
        of_family[family] = of_family.get(family, 0) + 1
        if of_family[family] <= FILES_A_FAMILY and len(kept) < FILES_A_PACKAGE:
            kept.append(Font(path, family, style, package))
    return kept


def find_fonts(characters):
    """(fonts, skipped, missing): what can be used, file -> reason for what can't, and the packages that are not installed."""
    fonts, skipped, missing = [], {}, []
    seen = set()
    for package in font_packages():
        if installed_version(package.name) is None:
            missing.append(package.name)
            continue
        for font in candidates(package):
            if (font.family, font.style) in seen:  # the same as TrueType and OpenType
                continue
            seen.add((font.family, font.style))
            if reason := unusable(font.path, characters):
                skipped[str(font.path)] = reason
            else:
                fonts.append(font)
    return fonts, skipped, missing
