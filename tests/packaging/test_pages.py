"""The pages of the families, the zoo, training and adding: what they show and name is there."""
import ast
import functools
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAMILY_PAGES = sorted((ROOT / "docs/families").glob("*.md"))
PAGES = [*FAMILY_PAGES, *(ROOT / f"docs/{name}.md" for name in ("zoo", "training", "distributed", "our_models", "adding"))]
FAMILIES = re.findall(r'const Family \w+ = \{"(\w+)"', "".join(p.read_text() for p in (ROOT / "zoo/mapping").glob("*.cpp")))
SECTIONS = ["Run", "Fine-tune", "Checkpoints", "What was checked", "Traps", "Cite"]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
every_family_page = pytest.mark.parametrize("page", FAMILY_PAGES, ids=lambda page: page.stem)


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page):
    """The words behind `wkv` of every command."""
    for line in "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        for command in shlex.join(shlex.split(line, comments=True)).split(" '&&' "):
            words = shlex.split(command)
            while words and re.match(r"\w+=", words[0]):  # its environment
                words = words[1:]
            if words and words[0].split("/")[-1] == "wkv":
                yield words[1:]


@functools.cache
def help_of(*subcommand):
    done = subprocess.run([ROOT / "build/bin/wkv", *subcommand, "--help"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


@functools.cache
def names():
    cards = [json.loads(path.read_text()) for path in (ROOT / "zoo/cards").glob("*.json")]
    return {name for card in cards for name in [card["name"], *card.get("aliases", [])]}


@pytest.mark.parametrize("family", sorted(set(FAMILIES)))
def test_a_family_has_a_page_with_its_checkpoints(family):
    assert sum(f"<!-- cards: {family} -->" in page.read_text() for page in FAMILY_PAGES) == 1


@every_family_page
def test_a_page_says_all_that_a_page_says(page):
    headings = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS
    assert all(blocks(page, language) for language in ("sh", "python", "cpp", "bibtex"))


@every_page
def test_commands_and_their_options_are_known(page):
    for words in commands(page):
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        if not words or words[0].startswith("-"):
            assert options <= set(re.findall(r"--[\w-]+", help_of())), words
            continue
        text = help_of(words[0])
        assert text, f"wkv {words[0]}: no such command"
        nested = re.search(r"^Subcommands:\n(.*)", text, re.DOTALL | re.MULTILINE)
        if nested:
            inner = next(word for word in words[1:] if re.search(rf"^  {word}\b", nested[1], re.MULTILINE))
            text += help_of(words[0], "MODEL", inner)
        assert options <= set(re.findall(r"--[\w-]+", text)), words


@every_page
def test_names_of_checkpoints_are_in_the_catalogue(page):
    shown = "\n".join(blocks(page, "python") + blocks(page, "cpp"))
    used = re.findall(r'load(?:_language_model)?\("([^"]+)"', shown)
    for words in commands(page):
        used += [word for word in words[1:2] if words[0] not in ("list", "train", "convert", "tokenize")]
        used += [word.removeprefix("model.checkpoint=") for word in words if word.startswith("model.checkpoint=")]
    is_name = re.compile(r"(?!my-)[a-z0-9]+[a-z0-9._]*(-[a-z0-9._]+)+").fullmatch
    assert {name for name in used if is_name(name) and Path(name).suffix not in (".pth", ".safetensors")} <= names()


@every_page
def test_python_parses(page):
    for block in blocks(page, "python"):
        ast.parse(block)


def test_every_key_of_a_card_is_explained():
    schema = json.loads((ROOT / "zoo/cards/schema/card.schema.json").read_text())["$defs"]
    section = (ROOT / "docs/adding.md").read_text().split("## A checkpoint")[1]
    explained = set(re.findall(r"`(\w+)`", section))
    for kind in ("model", "data", "source", "file", "figure"):
        assert set(schema[kind]["properties"]) - {"embedded"} <= explained, kind
