"""Debian's packages: those of the fonts that characters are drawn in, and what is installed. Needs no Pillow."""

import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path

FONT_PACKAGES = Path(__file__).with_name("font_packages.tsv")


@dataclass(frozen=True)
class Package:
    name: str
    licence: str
    kin: str  # packages of related designs, which are trained on together or held out together


def font_packages():
    with open(FONT_PACKAGES, newline="") as file:
        return [Package(*row) for row in list(csv.reader(file, delimiter="\t"))[1:]]


def installed_version(package):
    """Of a Debian package; None where it is not installed."""
    command = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}", package]
    try:
        status = subprocess.run(command, capture_output=True, text=True).stdout.split()
    except FileNotFoundError:
        raise SystemExit("the packages are Debian's: this needs dpkg and apt-get") from None
    return status[1] if status[:1] == ["installed"] else None


def files_of(package):
    listing = subprocess.run(["dpkg-query", "--listfiles", package], capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in sorted(listing.splitlines())]
