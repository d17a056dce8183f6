"""RWKV-CLIP with all captions of an image against its first alone (arXiv 2406.06973): the runs of the zoo's emoji model,
and runs of the same recipe in which only the captions' weights change."""

from our_zoo import vision
from train_program import ROOT, card, train

from experiments.runs import digest_of
from experiments.tables import conditions_line, grouped, markdown_table, mean_and_spread, results_of

ZOO = ROOT / "docs/results/our_vision_models.jsonl"
WEIGHTS = [1, 0, 0]  # of an emoji's name, its keywords, and a sentence of both


def configs(quick):
    steps = {"steps": 2, "batch": 4} if quick else {}
    seeds = vision.SEEDS[:1] if quick else vision.SEEDS
    return [{"captions": "one caption", "weights": WEIGHTS, **steps, "seed": seed} for seed in seeds]


def measure(config, settings):
    folder = settings.options["data"]
    if folder is None:
        raise ValueError("clip-captions: --data FOLDER is missing: the folder that scripts/render_emoji wrote")
    recipe = vision.recipe_of(vision.EMOJI, config["seed"], folder.resolve())
    recipe["data"]["caption_weights"] = config["weights"]
    recipe["output"] = str(settings.scratch / f"clip-captions-{digest_of(config)}")
    if "steps" in config:
        recipe |= {"steps": config["steps"], "batch": config["batch"], "optimizer": {"warmup": 1}}
    written = card(train(recipe, threads=settings.threads))
    return {name: value for name, value in written.items() if name.startswith("held_out_")}


def of_the_zoo():
    """The finished runs with all captions, as lines of this experiment."""
    runs = vision.lines_of(vision.EMOJI, ZOO)
    return [line | {"config": {"captions": "diverse captions", "seed": seed}} for seed, line in sorted(runs.items())]


def report(lines, quick=False):
    if not lines:
        return "Not run yet."
    figures = [figure.key for figure in vision.EMOJI.figures]
    lines = lines if quick else [*of_the_zoo(), *lines]
    rows = [
        [name, len(runs), *(mean_and_spread(results_of(runs, figure)) for figure in figures)]
        for (name,), runs in grouped(lines, "captions").items()
    ]
    header = ["trained with", "seeds", *(figure.removeprefix("held_out_").replace("_", " ") for figure in figures)]
    return f"{markdown_table(header, rows)}\n\n{conditions_line(lines)}"
