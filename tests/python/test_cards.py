"""The cards: valid by their schema, unlike each other, and in agreement with what the library and the formulas say."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("WKV_PROGRAM", ROOT / "build/bin/wkv"))
CARDS = ROOT / "zoo/cards"
SCHEMA = json.loads((CARDS / "schema/card.schema.json").read_text())
PATHS = {"model": sorted(CARDS.glob("*.json")), "data": sorted((CARDS / "data").glob("*.json"))}
MODELS = [json.loads(path.read_text()) for path in PATHS["model"]]
DATA = [json.loads(path.read_text()) for path in PATHS["data"]]
CARRIED = [card["name"] for card in MODELS if "embedded" in card["source"]]

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
CHECKED = {"type", "enum", "pattern", "minimum", "items", "properties", "required", "additionalProperties"}


def violations(value, schema, place):
    """Where the value isn't what the schema says: as much of JSON Schema as ours uses."""
    if "$ref" in schema:
        yield from violations(value, SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], place)
        return
    assert set(schema) <= CHECKED | {"description"}
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if isinstance(value, bool) or not any(isinstance(value, TYPES[name]) for name in types):
        yield f"{place}: {value!r} is not of type {types}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{place}: {value!r} does not match {schema['pattern']}"
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        yield f"{place}: {value} is below {schema['minimum']}"
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from violations(item, schema["items"], f"{place}[{i}]")
    if isinstance(value, dict) and "properties" in schema:
        yield from (f"{place}.{key}: is missing" for key in set(schema.get("required", ())) - set(value))
        for key, item in value.items():
            if key in schema["properties"]:
                yield from violations(item, schema["properties"][key], f"{place}.{key}")
            elif not schema.get("additionalProperties", True):
                yield f"{place}.{key}: is not in the schema"


@pytest.mark.parametrize("kind, path", [(kind, path) for kind in PATHS for path in PATHS[kind]])
def test_a_card_is_valid(kind, path):
    card = json.loads(path.read_text())
    assert list(violations(card, SCHEMA["$defs"][kind], path.name)) == []
    assert card["name"] == path.stem


BROKEN = {
    "a key is missing": {"family": ...},
    "a key is unknown": {"familiy": "rwkv4"},
    "a type is wrong": {"parameters": "169M"},
    "a value is unknown": {"verified": "yes"},
    "a sum is no sum": {"files": [{"path": "a.pth", "size": 1, "sha256": "ABC"}]},
    "a figure has no conditions": {
        "figures": [{"metric": "top-1", "data": "ImageNet", "value": 75.1, "unit": "%", "conditions": ""}]
    },
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_schema_refuses_a_card_where(case):
    card = {**MODELS[0], **BROKEN[case]}
    card = {key: value for key, value in card.items() if value is not ...}
    assert len(list(violations(card, SCHEMA["$defs"]["model"], "card"))) == 1


def test_every_name_and_alias_is_unlike_all_others():
    names = [name.lower() for card in MODELS for name in [card["name"], *card["aliases"]]]
    assert len(names) == len(set(names))


def test_a_model_comes_from_a_repository_or_with_the_library():
    for card in MODELS:
        if "embedded" in card["source"]:
            assert not card["files"] and (ROOT / "zoo/embedded" / card["source"]["embedded"]).exists()
        else:
            assert card["files"] and card["source"]["revision"]


def test_what_is_not_on_the_hub_has_its_sum():
    for card in MODELS + DATA:
        for file in card["files"]:
            assert ("url" in file and file["sha256"]) or "repository" in card["source"]


def test_tokenizers_are_called_by_name():
    vocabularies = {card["name"] for card in DATA if card["kind"] == "tokenizer"}
    assert {card["tokenizer"] for card in MODELS} <= vocabularies | {"bytes", None}


def test_what_this_project_did_not_run_is_not_called_verified_in_full():
    assert [card["name"] for card in MODELS if card["verified"] == "full"] == CARRIED and "kjv-rwkv7" in CARRIED


# Layers and width of the published sizes, and what else the number of parameters depends on.
PLAIN = {(12, 768), (24, 1024), (24, 2048), (32, 2560), (32, 4096), (40, 5120)}
MIX_AND_DECAY = {(24, 2048): (32, 64), (32, 2560): (32, 64), (32, 4096): (64, 128), (61, 4096): (64, 128)}
RANKS = {
    (12, 768): (64, 64, 32, 128), (24, 1024): (64, 64, 32, 128), (24, 2048): (96, 96, 64, 256),
    (32, 2560): (96, 96, 64, 320), (32, 4096): (128, 128, 96, 480), (61, 4096): (192, 192, 128, 384),
}  # fmt: skip
VOCABULARY = {"world": 65536, "gpt-neox-20b": 50277}


def sizes_of(family, vocabulary, name):
    def model(layers, width, square, vector, ranks=0):
        return 2 * vocabulary * width + 4 * width + layers * (square * width**2 + vector * width + 2 * width * ranks)

    if family == "rwkv4":
        return {model(*shape, 13, 11) for shape in PLAIN}
    if family == "rwkv5":
        return {model(*shape, 13, 14) for shape in PLAIN}
    if family == "rwkv6":
        return {model(*shape, 13, 16, 5 * mix + decay) for shape, (mix, decay) in MIX_AND_DECAY.items()}
    # The World models' first layer lacks the value residual, which it has no use for.
    residual = (lambda width, rank: 2 * width * rank + width) if "world" in name else (lambda width, rank: 0)
    return {model(*shape, 12, 19, sum(ranks)) - residual(shape[1], ranks[2]) for shape, ranks in RANKS.items()}


LANGUAGE = [card for card in MODELS if card["tokenizer"] in VOCABULARY and card["parameters"]]


@pytest.mark.parametrize("card", LANGUAGE, ids=lambda card: card["name"])
def test_parameters_are_those_of_a_published_size(card):
    assert card["parameters"] in sizes_of(card["family"], VOCABULARY[card["tokenizer"]], card["name"])


@pytest.mark.parametrize("card", LANGUAGE, ids=lambda card: card["name"])
def test_a_file_holds_two_bytes_a_parameter_and_little_else(card):
    size = card["files"][0]["size"]
    assert size is None or 0 < size - 2 * card["parameters"] < 5e-4 * size


def test_the_library_knows_what_cards_speak_of():
    import wkv

    with pytest.raises(ValueError) as families:
        wkv.load("embedded", family="none")
    for card in MODELS:
        assert re.search(rf"\b{card['family']}\b", str(families.value)), card["name"]


def test_the_library_carries_all_cards():
    import wkv

    assert wkv.list_models() == sorted(MODELS, key=lambda card: card["name"])


@pytest.fixture
def wkv_command(tmp_path):
    """Runs the program with a card of the user's own beside the others, and an empty cache."""
    (tmp_path / "cards").mkdir()
    card = {**MODELS[0], "name": "mine", "aliases": ["My-Own"], "family": "rwkv7", "licence": None, "parameters": 10,
            "tokenizer": None, "source": {"repository": "someone/tiny"},
            "files": [{"path": "tiny.safetensors", "size": None, "sha256": None}]}  # fmt: skip
    (tmp_path / "cards/mine.json").write_text(json.dumps(card))
    surroundings = {**os.environ, "WKV_CARDS": str(tmp_path / "cards"), "HF_HUB_CACHE": str(tmp_path / "hub")}

    def run(*arguments, status=0):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, env=surroundings, text=True, timeout=120)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    return run


@pytest.fixture
def cached_file(tmp_path):
    """The file of the user's card, as the hub's own programs leave it in their cache."""
    repository, commit = tmp_path / "hub/models--someone--tiny", "0" * 40
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    path = repository / "snapshots" / commit / "tiny.safetensors"
    shutil.copy(ROOT / "zoo/embedded/kjv-rwkv7.safetensors", path)
    return path


def names_in(table):
    return [line.split()[0] for line in table.splitlines()[1:]]


def test_list_shows_every_card(wkv_command):
    assert names_in(wkv_command("list")) == sorted([card["name"] for card in MODELS] + ["mine"])


def test_list_takes_a_pattern_and_filters(wkv_command):
    assert names_in(wkv_command("list", "RWKV7-WORLD-*", "--size", "0.5b")) == ["rwkv7-world-0.1b", "rwkv7-world-0.4b"]
    assert names_in(wkv_command("list", "--family", "vrwkv6")) == ["vrwkv6-b", "vrwkv6-s", "vrwkv6-t"]
    assert names_in(wkv_command("list", "--task", "segmentation", "*-t")) == ["upernet-vrwkv-t"]
    assert names_in(wkv_command("list", "--size", "1000")) == ["mine"]
    assert "expected a number" in wkv_command("list", "--size", "big", status=2)


def test_list_gives_the_cards_as_json(wkv_command):
    assert json.loads(wkv_command("list", "vrwkv-t", "--json")) == [c for c in MODELS if c["name"] == "vrwkv-t"]


def test_list_tells_what_is_in_the_cache(wkv_command, cached_file):
    cached = {line.split()[0]: line.split()[-1] for line in wkv_command("list").splitlines()[1:]}
    assert {name for name in cached if cached[name] == "yes"} == {*CARRIED, "mine"}


@pytest.mark.parametrize("name", CARRIED)
def test_a_model_that_the_library_carries_passes_its_check(wkv_command, name):
    (card,) = [card for card in MODELS if card["name"] == name]
    passed = [line for line in wkv_command("verify", name).splitlines() if line.startswith("pass")]
    assert len(passed) == (3 if "check" in card else 2), passed


def test_info_shows_a_card_without_its_file(wkv_command):
    text = wkv_command("info", "vrwkv-t")
    assert "top-1 on ImageNet-1k validation: 75.1 % (224 x 224" in text and "none is stated" in text
    info = json.loads(wkv_command("info", "my-own", "--json"))
    assert info["card"]["name"] == "mine" and info["fetched"] == [] and "config" not in info


def test_info_describes_the_file_of_a_card_that_is_in_the_cache(wkv_command, cached_file):
    info = json.loads(wkv_command("info", "mine", "--json"))
    assert info["parameters"] == 1879360 and info["card"]["parameters"] == 10
    assert [file["size"] for file in info["fetched"]] == [cached_file.stat().st_size]
    assert info["fetched"][0]["commit"] == "0" * 40 and re.fullmatch("[0-9a-f]{64}", info["fetched"][0]["sha256"])
    assert str(cached_file) in wkv_command("info", "mine")


def test_a_card_that_is_broken_is_named(wkv_command, tmp_path):
    (tmp_path / "cards/broken.json").write_text('{"name": 1}')
    assert "broken.json: name must be a name" in wkv_command("list", status=1)
