"""scripts/train_vision_zoo: its runs, its tables, and the cards that it writes."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from test_cards import SCHEMA, violations

sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/benchmark")]

from our_zoo import vision  # noqa: E402

COMMON = {"parameters": 1000, "steps": 20, "final_loss": 0.12345, "seconds": 120.0, "threads": 1, "training_images": 50}
RESULTS = {
    "characters-vrwkv": {**COMMON, "pipeline": "mm32", "classes": [f"class {i}" for i in range(62)], "held_out_images": 31,
                         "held_out_accuracy": 0.5, "held_out_top5_accuracy": 0.75},
    "emoji-clip": {**COMMON, "pipeline": "clip64", "held_out_images": 40, "held_out_zero_shot_accuracy": 0.25, "held_out_zero_shot_chance": 0.025,
                   **{f"held_out_{way}_recall_at_{k}": k / 10 for way in ("image_to_text", "text_to_image") for k in (1, 5)}},
}  # fmt: skip


@pytest.fixture
def results(tmp_path):
    """A results file: seed 1 of both models, and a better seed 2."""
    lines = [
        {"config": {"model": name, "seed": seed}, "conditions": {"cpu": "a processor"},
         "result": {**result, vision.MODELS[name].figures[0].key: 0.2 + seed / 10}}
        for name, result in RESULTS.items() for seed in (1, 2)
    ]  # fmt: skip
    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_every_seed_of_one_comes_before_the_next_of_any():
    runs = vision.configs(list(vision.MODELS.values()))
    assert [run["seed"] for run in runs] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("model", vision.MODELS.values(), ids=vision.MODELS)
def test_a_run_is_the_committed_recipe_with_another_seed_and_folder(model):
    committed = json.loads((vision.RECIPES / model.recipe).read_text())
    assert vision.recipe_of(model, committed["seed"]) == committed
    moved = vision.recipe_of(model, 7, Path("/there"))
    assert moved["seed"] == 7 and moved["data"]["images"].startswith("/there/")
    assert not [value for value in moved["data"].values() if str(value).startswith(model.data)]


def test_a_table_has_the_mean_the_spread_and_the_chance(results):
    text = vision.table(vision.CHARACTERS, results)
    assert "| top-1 | 35.0 % | 30.0 to 40.0 % | 1.6 % |\n| top-5 | 75.0 % | 75.0 to 75.0 % | 8.1 % |\n" in text
    assert "20 steps in 2 minutes at best, on 1 core of an a processor" in text and "seeds 1, 2" in text
    assert "| R@5, text to image | 50.0 % | 50.0 to 50.0 % | 12.5 % |" in vision.table(vision.EMOJI, results)


def test_nothing_is_claimed_of_what_was_not_trained(tmp_path):
    assert vision.table(vision.EMOJI, tmp_path / "none.jsonl") == "Not trained yet.\n"


@pytest.mark.parametrize("model", vision.MODELS.values(), ids=vision.MODELS)
def test_the_best_seed_is_installed_with_a_valid_card(model, results, tmp_path, monkeypatch):
    monkeypatch.setattr(vision, "ROOT", tmp_path)
    for folder in ("zoo/embedded", "zoo/cards", f"runs/{model.name}-2"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / f"runs/{model.name}-2/config.json").write_text("{}")
    (tmp_path / f"runs/{model.name}-2/model.safetensors").write_bytes(b"weights")
    vision.install(model, tmp_path / "runs", results)
    card = json.loads((tmp_path / f"zoo/cards/{model.name}.json").read_text())
    assert list(violations(card, SCHEMA["$defs"]["model"], "card")) == []
    assert card["figures"][0]["value"] == 40.0 and card["recipe"]["seed"] == card["training"]["seed"] == 2
    assert (tmp_path / f"zoo/embedded/{model.name}.safetensors").read_bytes() == b"weights"
    assert ("classes" in card) == (model is vision.CHARACTERS)


def test_a_folder_that_is_missing_is_named(tmp_path):
    command = [sys.executable, ROOT / "scripts/train_vision_zoo", tmp_path, "--models", "emoji-clip"]
    done = subprocess.run([*command, "--emoji", tmp_path / "none"], capture_output=True, text=True)
    assert done.returncode == 2 and f"--emoji FOLDER: {tmp_path / 'none'} is no folder" in done.stderr
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--emoji FOLDER: missing" in done.stderr
