"""The zoo's own vision models: their runs, their tables in docs/our_models.md, and a model's file and card in zoo/."""

import json
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path

from experiments.runs import read_results
from our_zoo.publish import PAGE, ROOT, as_text
from our_zoo.runs import RECIPES, SEEDS
from pages import with_part
from train_program import card as card_of_run
from train_program import train

# Of the card that `wkv train` writes, beside its measurements.
KEPT = ["parameters", "steps", "final_loss", "seconds", "threads", "pipeline", "classes", "training_images", "held_out_images"]


@dataclass(frozen=True)
class Figure:
    key: str  # of the card that `wkv train` writes
    metric: str
    conditions: str
    rank: int  # a right answer is among so many


@dataclass(frozen=True)
class VisionModel:
    name: str
    recipe: str
    data: str  # the folder that the recipe names, and the program's option
    description: str
    family: str
    task: str
    tokenizer: str | None
    held_out: str  # what the figures are measured on
    sources: dict
    figures: tuple[Figure, ...]
    notes: str

    def run_name(self, seed):
        return f"{self.name}-{seed}"


CHARACTERS = VisionModel(
    name="characters-vrwkv",
    recipe="characters_vrwkv.json",
    data="characters",
    description="VRWKV of 62 characters in images of 32 x 32, trained by this project on Debian's free fonts",
    family="vrwkv",
    task="image-classification",
    tokenizer=None,
    held_out="characters in the fonts held out",
    sources={
        "images": "characters in the fonts of Debian's packages; scripts/rendering/font_packages.tsv has each one's licence",
        "command": "scripts/render_characters characters",
        "held_out": "all fonts of 31 of 203 families of fonts",
    },
    figures=(
        Figure("held_out_accuracy", "top-1", "bf16 weights, fp32 arithmetic; characters/test", 1),
        Figure("held_out_top5_accuracy", "top-5", "bf16 weights, fp32 arithmetic; characters/test", 5),
    ),
    notes="Classes are characters that most fonts draw unlike each other: docs/our_models.md has the list.",
)
EMOJI = VisionModel(
    name="emoji-clip",
    recipe="emoji_clip.json",
    data="emoji",
    description="RWKV-CLIP of emoji in images of 64 x 64 and their names, read as bytes, trained by this project",
    family="rwkv_clip",
    task="image-text",
    tokenizer="bytes",
    held_out="emoji held out",
    sources={
        "images": "Noto Color Emoji (OFL-1.1)",
        "texts": "names and keywords of Unicode CLDR (Unicode-DFS-2016)",
        "command": "scripts/render_emoji emoji",
        "held_out": "186 emoji",
    },
    figures=(
        Figure("held_out_zero_shot_accuracy", "top-1", "zero-shot among the names of all of them, no template", 1),
        Figure("held_out_image_to_text_recall_at_1", "R@1, image to text", "among all of their names", 1),
        Figure("held_out_image_to_text_recall_at_5", "R@5, image to text", "among all of their names", 5),
        Figure("held_out_text_to_image_recall_at_1", "R@1, text to image", "a name among all of their images", 1),
        Figure("held_out_text_to_image_recall_at_5", "R@5, text to image", "a name among all of their images", 5),
    ),
    notes="A model of 186 held-out drawings is no benchmark: it shows that training works.",
)
MODELS = {model.name: model for model in (CHARACTERS, EMOJI)}


def configs(models):
    return [{"model": model.name, "seed": seed} for seed in SEEDS for model in models]


def recipe_of(model, seed, folder=None):
    """The committed one with a seed, and with its data's folder."""
    recipe = json.loads((RECIPES / model.recipe).read_text()) | {"output": model.name, "seed": seed}
    if folder is not None:
        for key, value in recipe["data"].items():
            if isinstance(value, str) and value.startswith(model.data + "/"):
                recipe["data"][key] = str(folder / Path(value).relative_to(model.data))
    return recipe


def measure(config, settings):
    """A run, and what its card says of it. settings.options: the folder of each model's data."""
    model = MODELS[config["model"]]
    recipe = recipe_of(model, config["seed"], settings.options[model.data].resolve())
    written = card_of_run(train(recipe | {"output": str(settings.scratch / model.run_name(config["seed"]))}, threads=settings.threads))
    return {key: value for key, value in written.items() if key in KEPT or key.startswith("held_out_")}


def lines_of(model, results_file):
    """seed -> the line of its finished run."""
    return {
        line["config"]["seed"]: line for line in read_results(results_file) if line["config"]["model"] == model.name
    }


def candidates(result):
    """Among how many answers a right one is sought."""
    return len(result["classes"]) if "classes" in result else round(1 / result["held_out_zero_shot_chance"])


def table(model, results_file):
    lines = lines_of(model, results_file)
    if not lines:
        return "Not trained yet.\n"
    results = [lines[seed]["result"] for seed in sorted(lines)]
    first = results[0]
    text = "| held out | mean of the seeds | lowest to highest | chance |\n|---|---|---|---|\n"
    for figure in model.figures:
        values = [100 * result[figure.key] for result in results]
        spread = f"{min(values):.1f} to {max(values):.1f} %" if len(values) > 1 else "one seed"
        chance = 100 * figure.rank / candidates(first)
        text += f"| {figure.metric} | {statistics.mean(values):.1f} % | {spread} | {chance:.1f} % |\n"
    cpu, threads = lines[min(lines)]["conditions"]["cpu"], first["threads"]
    minutes = min(result["seconds"] for result in results) / 60
    seeds = ", ".join(map(str, sorted(lines)))
    return text + (
        f"\n{first['parameters']:,} parameters; {first['steps']} steps in {minutes:.0f} minutes at best, on {threads} "
        f"{'core' if threads == 1 else 'cores'} of an {cpu} that had other work too; seeds {seeds}.\n"
    )


def report(models, results_file, write):
    for model in models:
        found = table(model, results_file)
        print(f"{model.name}\n{found}")
        if write:
            PAGE.write_text(with_part(PAGE.read_text(), model.name, found))


def card(model, line, config, best_of):
    """As the schema in zoo/cards/schema has it."""
    result, seed = line["result"], line["config"]["seed"]
    figures = [
        {"metric": figure.metric, "data": model.held_out, "value": round(100 * result[figure.key], 1), "unit": "%",
         "conditions": f"{figure.conditions}; {result['held_out_images']} images"}
        for figure in model.figures
    ]  # fmt: skip
    made = {
        "name": model.name,
        "aliases": [],
        "description": model.description,
        "family": model.family,
        "task": model.task,
        "source": {"embedded": f"{model.name}.safetensors"},
        "files": [],
        "container": "safetensors",
        "parameters": result["parameters"],
        "config": config,
        "tokenizer": model.tokenizer,
        "preprocessing": result["pipeline"],
        "classes": result.get("classes", []),
        "prompt": None,
        "licence": "Apache-2.0",
        "figures": figures,
        "verified": "full",
        "dtype": "bf16",
        "data": model.sources,
        "commands": [f"scripts/train_vision_zoo FOLDER --{model.data} {model.data} --models {model.name} --results FOLDER/results.jsonl"],
        "recipe": recipe_of(model, seed),
        "training": {
            "seed": seed, "steps": result["steps"], "images": result["training_images"],
            "final_training_loss": round(result["final_loss"], 4), "seconds": round(result["seconds"]),
            "threads": result["threads"], "machine": line["conditions"]["cpu"] + ", shared with other work",
        },
        "notes": f"{model.notes} The best of {best_of} {'seed' if best_of == 1 else 'seeds'}.",
    }  # fmt: skip
    return {key: value for key, value in made.items() if (key, value) != ("classes", [])}


def install(model, folder, results_file):
    """The best run's model and card into zoo/."""
    lines = lines_of(model, results_file)
    if not lines:
        raise SystemExit(f"{results_file}: no run of {model.name} is finished")
    best = max(lines.values(), key=lambda line: line["result"][model.figures[0].key])
    trained = folder / model.run_name(best["config"]["seed"])
    if not trained.exists():
        raise SystemExit(f"{trained} is missing: the best run was done in another folder")
    made = card(model, best, json.loads((trained / "config.json").read_text()), len(lines))
    shutil.copyfile(trained / "model.safetensors", ROOT / "zoo/embedded" / f"{model.name}.safetensors")
    (ROOT / "zoo/cards" / f"{model.name}.json").write_text(as_text(made))
    print(f"zoo/embedded/{model.name}.safetensors, zoo/cards/{model.name}.json: {made['figures'][0]['value']} %")
