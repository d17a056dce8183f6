"""scripts/render_characters and scripts/render_emoji: what they draw follows from the seed, and what is held out has no kin in training."""
import filecmp
import json
import runpy
import subprocess
import sys

import pytest
from conftest import ROOT

SCRIPTS = ROOT / "scripts"
FONT_PACKAGES = ("fonts-dejavu-core", "fonts-lato", "fonts-cabin", "fonts-karla", "fonts-hack")
EMOJI_PACKAGES = ("fonts-noto-color-emoji", "unicode-cldr-core", "unicode-data")


@pytest.fixture(scope="module")
def scripts():
    """The modules of both, with Pillow at hand."""
    pytest.importorskip("PIL", reason="Pillow is missing: pip install pillow")
    sys.path.insert(0, str(SCRIPTS))
    yield {name: runpy.run_path(str(SCRIPTS / name)) for name in ("render_characters", "render_emoji")}
    sys.path.remove(str(SCRIPTS))


def require_debian(packages):
    from rendering.packages import installed_version

    try:
        missing = [package for package in packages if installed_version(package) is None]
    except SystemExit as reason:
        pytest.skip(str(reason))
    if len(missing) == len(packages):
        pytest.skip(f"none is installed of {' '.join(packages)}")
    return [package for package in packages if package not in missing]


@pytest.fixture
def fonts(scripts, tmp_path, monkeypatch):
    """Fonts of a few of the packages."""
    from rendering import fonts

    installed = require_debian(FONT_PACKAGES)
    monkeypatch.setattr(fonts, "FILES_A_PACKAGE", 2)
    monkeypatch.setattr(fonts, "font_packages", lambda: [fonts.Package(name, "OFL-1.1", name) for name in installed])
    return fonts.find_fonts(scripts["render_characters"]["CLASSES"])[0]


def test_classes_that_look_alike_are_one(scripts):
    classes = scripts["render_characters"]["CLASSES"]
    assert len(classes) == len(set(classes.values())) == 62
    assert all(character in classes for character in "0I1CKPkpS")
    assert not set("Oocslvwxzu") & set(classes)


def test_class_folders_differ_where_case_does_not_count(scripts):
    assert len({name.lower() for name in scripts["render_characters"]["CLASSES"].values()}) == 62


def test_the_same_seed_draws_the_same_bytes(scripts, fonts, tmp_path):
    render = scripts["render_characters"]["render"]
    for name in ("a", "b"):
        render(tmp_path / name, {"train": fonts[:1], "test": fonts[-1:]}, 32, seed=1)
    drawn = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(drawn) == 62 * 3
    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", drawn, shallow=False)[0] == drawn


def test_another_seed_draws_other_images(scripts, fonts):
    import random

    image = scripts["render_characters"]["character_image"]
    first, second = (image(fonts[0].path, "A", 32, random.Random(seed)).tobytes() for seed in "12")
    assert first != second


def test_every_character_leaves_the_border_free(scripts, fonts):
    import random

    from PIL import Image, ImageChops

    for character in scripts["render_characters"]["CLASSES"]:
        image = scripts["render_characters"]["character_image"](fonts[0].path, character, 32, random.Random(7))
        paper = Image.new("L", image.size, image.getpixel((0, 0)))
        left, top, right, bottom = ImageChops.difference(image, paper).getbbox()
        assert left > 0 and right < 32 and top >= 0 and bottom <= 32, character


def test_a_font_without_a_character_is_left_out(fonts):
    from rendering.fonts import unusable

    assert unusable(fonts[0].path, "A\U00013000") == "has no \U00013000"


def test_no_family_of_fonts_is_on_both_sides(fonts):
    sides = {}
    for font in fonts:
        sides.setdefault(font.family, set()).add(font.package.kin)
    assert len(sides) > 1 and all(len(kin) == 1 for kin in sides.values())


def test_packages_of_one_design_are_on_one_side(scripts):
    from rendering.common import is_held_out
    from rendering.packages import font_packages

    part = scripts["render_characters"]["HELD_OUT_PART"]
    sides = {True: set(), False: set()}
    for package in font_packages():
        sides[is_held_out(package.kin, part)].add(package.name)
    assert {"fonts-liberation", "fonts-croscore", "fonts-texgyre"} <= sides[True] or not {
        "fonts-liberation", "fonts-croscore", "fonts-texgyre"} & sides[True]  # fmt: skip
    assert 0.1 < len(sides[True]) / len(font_packages()) < 0.3


def test_every_package_has_a_licence(scripts):
    from rendering.packages import font_packages

    assert len({package.name for package in font_packages()}) == len(font_packages()) > 100
    assert all(package.licence and package.kin for package in font_packages())


VARIANTS = ["👨‍🚀 👩‍🚀 🧑‍🚀", "🏃 🏃‍♀️ 🏃‍♂️", "👦 👧 🧒 👨 👩 👱‍♂️ 👨‍🦰 👵", "👨‍❤️‍👨 💑", "👩‍❤️‍💋‍👨 💏", "👬 👭 🧑‍🤝‍🧑", "👨‍👩‍👧 👪", "🤴 👸 🫅", "🎅 🤶 🧑‍🎄"]


@pytest.mark.parametrize("variants", VARIANTS)
def test_who_is_shown_makes_no_other_emoji(scripts, variants):
    assert len({scripts["render_emoji"]["base_of"](sequence) for sequence in variants.split()}) == 1


@pytest.mark.parametrize("pair", ["🚀 🧑‍🚀‍🚒", "❤️ 💑", "💋 💏", "😀 😃", "1️⃣ 2️⃣", "♀️ ♂️"])
def test_different_emoji_stay_different(scripts, pair):
    assert len({scripts["render_emoji"]["base_of"](sequence) for sequence in pair.split()}) == 2


def test_captions_are_name_keywords_and_description(scripts):
    captions = scripts["render_emoji"]["captions"]
    assert captions("ghost", ["creature", "ghost", "face"], "a photo of ") == ["ghost", "creature, face", "a photo of ghost: creature, face"]
    assert captions("ghost", ["ghost"]) == ["ghost", "ghost", "ghost: ghost"]


def test_no_caption_is_longer_than_a_text_of_bytes(scripts):
    captions = scripts["render_emoji"]["captions"]("a name of a certain length", [f"keyword {i}" for i in range(20)])
    assert max(len(caption.encode()) for caption in captions) <= 77 - len("a photo of ")
    assert captions[1].startswith("keyword 0, keyword 1")


@pytest.fixture(scope="module")
def emoji(scripts, tmp_path_factory):
    """Pictures of a few emoji."""
    if len(require_debian(EMOJI_PACKAGES)) < len(EMOJI_PACKAGES):
        pytest.skip(f"not all are installed of {' '.join(EMOJI_PACKAGES)}")
    render = scripts["render_emoji"]["render"]
    some = "👻 🚀 🧑‍🚀 👩‍🚀 😀 ☎️ 🐶 🐱 🍎 🍌 🚗 🚲 🎲 🎸 🏠 🌳 🌙 ⭐ 🔥 💧 🐟 🦋 🍞 🍕 📚 📷".split()
    render.__globals__["listed"] = lambda path: some
    out = tmp_path_factory.mktemp("emoji")
    render(out, 64)
    return out


def entries(folder, part):
    return json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))


def test_images_and_captions_belong_together(emoji):
    listed = [entry["image"] for part in ("train", "test") for entry in entries(emoji, part)]
    assert sorted(listed) == sorted(path.name for path in (emoji / "images").iterdir())
    assert all(len(entry["caption"]) == 3 for entry in entries(emoji, "train"))


def test_no_emoji_is_trained_on_and_held_out(emoji):
    train, test = ({entry["caption"][0] for entry in entries(emoji, part)} for part in ("train", "test"))
    assert train and test and not train & test


def test_the_list_for_zero_shot_names_the_held_out_emoji(emoji):
    labels = (emoji / "test_labels.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in (emoji / "test_list.tsv").read_text().splitlines()]
    assert [labels[int(index)] for _, index in rows] == [entry["caption"][0] for entry in entries(emoji, "test")]
    assert all((emoji / path).exists() for path, _ in rows)


@pytest.mark.parametrize("script", ["render_characters", "render_emoji"])
def test_a_folder_that_is_there_is_refused(scripts, script, tmp_path):
    if script == "render_emoji" and len(require_debian(EMOJI_PACKAGES)) < len(EMOJI_PACKAGES):
        pytest.skip(f"not all are installed of {' '.join(EMOJI_PACKAGES)}")
    done = subprocess.run([sys.executable, SCRIPTS / script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and f"{tmp_path} is there already" in done.stderr
