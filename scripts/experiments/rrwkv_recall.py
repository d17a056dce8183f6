"""Long-range recall of RRWKV, this project's definition, against RWKV-4 with the same steps, batches and sizes.

Key-value pairs come first, the queries last, and nothing in between, so that each value is far back. Three learning
rates, of which one is chosen as in the experiment mqar.
"""

import statistics
import time

import torch
from svg_plot import Panel
from torch.nn.functional import cross_entropy
from train_program import new_model

import wkv
from experiments.mqar_data import IGNORED, accuracy, distinct
from experiments.mqar_model import Recipe
from experiments.runs import digest_of
from experiments.tables import best_runs, conditions_line, markdown_table, mean_and_spread, results_of

KEYS, VALUES = 8, 16  # tokens 1..8 and 9..24; 0 is what stands between
SEEDS, LEARNING_RATES = range(3), (2.5e-3, 5e-3, 1e-2)
MODELS = [("rwkv4", None), ("rrwkv", 8), ("rrwkv", 16)]  # and the interval between mediums
LENGTHS = [64, 128]
SIZES = {"layers": 2, "width": 32, "pairs": 4, "batch": 32, "steps": 2000}
X_TITLE = "tokens"  # of the plot
CHECKED = 500
CHOICE_SEED, TEST_SEED = 2**31, 2**31 + 1


def configs(quick):
    sizes = {**SIZES, **({"batch": 4, "steps": 2} if quick else {})}
    return [
        {"family": family, "interval": interval, "length": length, **sizes, "learning_rate": rate, "seed": seed}
        for length in (LENGTHS[:1] if quick else LENGTHS)
        for family, interval in MODELS
        for seed in (SEEDS[:1] if quick else SEEDS)
        for rate in (LEARNING_RATES[:1] if quick else LEARNING_RATES)
    ]


def sequences(length, pairs, examples, generator):
    """Inputs and labels [examples, length]: pairs, zeros, and the keys again in another order."""
    keys = distinct(pairs, 1, 1 + KEYS, examples, generator)
    values = distinct(pairs, 1 + KEYS, 1 + KEYS + VALUES, examples, generator)
    order = distinct(pairs, 0, pairs, examples, generator)
    inputs = torch.zeros(examples, length, dtype=torch.int64)
    inputs[:, : 2 * pairs] = torch.stack([keys, values], 2).flatten(1)
    inputs[:, -pairs:] = keys.gather(1, order)
    labels = torch.full_like(inputs, IGNORED)
    labels[:, -pairs:] = values.gather(1, order)
    return inputs, labels


@torch.no_grad()
def accuracy_on(module, inputs, labels):
    return round(accuracy(module.eval()(inputs)[0], labels), 5)


def measure(config, settings):
    model = {name: config[name] for name in ("family", "layers", "width", "interval") if config[name] is not None}
    made = {**model, "seed": config["seed"]}
    folder = new_model(settings.scratch / f"rrwkv-recall-{digest_of(made)}", model, seed=config["seed"] + 1)
    module = wkv.nn.Module(wkv.load(folder)).train()
    recipe = Recipe(config["steps"], config["learning_rate"], config["batch"])
    optimizer = torch.optim.Adam(module.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate)
    generator = torch.Generator().manual_seed(config["seed"])
    start = time.process_time()
    for _ in range(recipe.steps):
        inputs, labels = sequences(config["length"], config["pairs"], recipe.batch, generator)
        loss = cross_entropy(module(inputs)[0].flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    seconds = time.process_time() - start
    chosen_on, tested_on = (
        sequences(config["length"], config["pairs"], CHECKED, torch.Generator().manual_seed(seed))
        for seed in (CHOICE_SEED, TEST_SEED)
    )
    return {
        "parameters": sum(p.numel() for p in module.parameters()),
        "loss": round(loss.item(), 5),
        "choice_accuracy": accuracy_on(module, *chosen_on),
        "accuracy": accuracy_on(module, *tested_on),
        "cpu_seconds": round(seconds, 2),
    }


def name_of(family, interval):
    return "RWKV-4" if family == "rwkv4" else f"RRWKV, a medium every {interval} tokens"


def best(lines, quick=False):
    return best_runs(lines, configs(quick), "length", "family", "interval")


def report(lines, quick=False):
    rows = []
    for (length, family, interval), runs in best(lines, quick).items():
        accuracies = results_of(runs, "accuracy")
        rows.append(
            [
                length,
                name_of(family, interval),
                f"{runs[0]['result']['parameters']:,}",
                mean_and_spread(accuracies),
                f"{min(accuracies):.3f} to {max(accuracies):.3f}",
                f"{runs[0]['config']['learning_rate']:g}",
                f"{statistics.median(results_of(runs, 'cpu_seconds')):.0f}",
            ]
        )
    header = ["tokens", "model", "parameters", "accuracy", "of the seeds", "learning rate", "CPU s"]
    sizes = lines[0]["config"] if lines else SIZES
    title = (
        f"{sizes['pairs']} pairs of {KEYS} keys and {VALUES} values (chance {1 / VALUES:.3f}), {sizes['layers']} "
        f"layers, width {sizes['width']}, {sizes['steps']} steps of {sizes['batch']} sequences; mean and standard "
        "deviation over the seeds."
    )
    return "\n\n".join([title, markdown_table(header, rows), conditions_line(lines)])


def panels(lines):
    points = {}
    for (length, family, interval), runs in best(lines).items():
        mean = statistics.mean(results_of(runs, "accuracy"))
        points.setdefault((name_of(family, interval), ""), []).append((length, mean))
    return [Panel("Recall at the end of a sequence", "accuracy", points, top=1)] if points else []
