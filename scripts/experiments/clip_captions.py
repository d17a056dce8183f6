"""RWKV-CLIP with all captions of an image against its first alone (arXiv 2406.06973): the recipe of the zoo's emoji
model, in which only the captions' weights change."""

import json
from pathlib import Path

from train_program import ROOT, card, train

from experiments.runs import digest_of
from experiments.tables import conditions_line, grouped, markdown_table, mean_and_spread, results_of

RECIPE = ROOT / "examples/train/emoji_clip.json"
PATHS = {"images", "captions", "held_out_captions"}  # of the recipe, in the folder emoji
SEEDS = range(3)
# Weights of an emoji's name, its keywords, and a sentence of both.
CAPTIONS = {"one caption": [1, 0, 0], "diverse captions": [1, 1, 1]}


def configs(quick):
    steps = {"steps": 2, "batch": 4} if quick else {}
    return [
        {"captions": name, "weights": weights, **steps, "seed": seed}
        for seed in (SEEDS[:1] if quick else SEEDS)
        for name, weights in CAPTIONS.items()
    ]


def measure(config, settings):
    folder = settings.options["data"]
    if folder is None:
        raise ValueError("clip-captions: --data FOLDER is missing: the folder that scripts/render_emoji wrote")
    recipe = json.loads(RECIPE.read_text())
    for key in PATHS & recipe["data"].keys():
        recipe["data"][key] = str(folder / Path(recipe["data"][key]).relative_to("emoji"))
    recipe["data"]["caption_weights"] = config["weights"]
    recipe |= {"output": str(settings.scratch / f"clip-captions-{digest_of(config)}"), "seed": config["seed"] + 1}
    if "steps" in config:
        recipe |= {"steps": config["steps"], "batch": config["batch"], "optimizer": {"warmup": 1}}
    written = card(train(recipe, threads=settings.threads))
    return {name: value for name, value in written.items() if name.startswith("held_out_")}


def report(lines, quick=False):
    if not lines:
        return "Not run yet."
    figures = [name for name, value in lines[0]["result"].items() if isinstance(value, float)]
    rows = [
        [name, len(runs), *(mean_and_spread(results_of(runs, figure)) for figure in figures)]
        for (name,), runs in grouped(lines, "captions").items()
    ]
    header = ["trained with", "seeds", *(figure.removeprefix("held_out_").replace("_", " ") for figure in figures)]
    return f"{markdown_table(header, rows)}\n\n{conditions_line(lines)}"
