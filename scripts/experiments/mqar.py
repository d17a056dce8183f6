"""Recall against state size (BASED's figure 2): a convolution and one mixer, trained on recall at sizes for a CPU.

Five seeds and three learning rates for each mixer. The learning rate is chosen by the mean accuracy over the seeds on
sequences of its own; the figures are those of other sequences, the same for all runs.
"""

import statistics

import torch
from svg_plot import Panel

from experiments.mqar_data import Task, sequences
from experiments.mqar_model import Recaller, Recipe, accuracy_on, mixer, train_on_fresh_sequences
from experiments.tables import best_runs, conditions_line, markdown_table, mean_and_spread, results_of

STD = 0.125  # of the initial matrices: with 0.02 small models stay for long where they begin
SEEDS, LEARNING_RATES = range(5), (0.003, 0.01, 0.03)
TASKS = {
    "A": {"vocab": 128, "length": 64, "pairs": 8, "width": 64, "steps": 600},
    "B": {"vocab": 256, "length": 64, "pairs": 16, "width": 32, "steps": 1000},
    "C": {"vocab": 64, "length": 32, "pairs": 4, "width": 64, "steps": 400},
}
QUICK = {"vocab": 32, "length": 16, "pairs": 2, "width": 16, "steps": 3}
MIXERS = [
    ("attention", None),
    *(("based", features) for features in (4, 8, 16, 24)),
    *(("window", keys) for keys in (8, 16, 32, 64)),
    ("rwkv4", None),
    *((name, head_size) for name in ("rwkv6", "rwkv7") for head_size in (8, 16, 32, 64)),
]
NAMES = {
    "attention": "attention",
    "based": "BASED",
    "window": "sliding window",
    "rwkv4": "RWKV-4",
    "rwkv6": "RWKV-6",
    "rwkv7": "RWKV-7",
}
SIZES = {"based": "d' = {}", "window": "{} keys", "rwkv6": "heads of {}", "rwkv7": "heads of {}"}
X_TITLE = "state, numbers"  # of the plot
CHECKED = 500  # sequences for the choice of the learning rate, and as many others for the figures
CHOICE_SEED, TEST_SEED = 2**31, 2**31 + 1


def tasks(quick):
    return {"quick": QUICK} if quick else TASKS


def mixers_for(task):
    """Without heads wider than the model and windows longer than the sequence."""
    return [
        (kind, size)
        for kind, size in MIXERS
        if (size or 0) <= (task["width"] if kind.startswith("rwkv") else task["length"])
    ]


def configs(quick):
    """The shortest task first, and mixer by mixer, so that the tables grow row by row."""
    shortest_first = sorted(tasks(quick).items(), key=lambda named: named[1]["steps"])
    return [
        {"task": name, **task, "mixer": kind, "size": size, "learning_rate": rate, "seed": seed}
        for name, task in shortest_first
        for kind, size in mixers_for(task)
        for seed in (range(1) if quick else SEEDS)
        for rate in (LEARNING_RATES[:1] if quick else LEARNING_RATES)
    ]


def measure(config, settings):
    task = Task(config["vocab"], config["length"], config["pairs"])
    torch.manual_seed(config["seed"])
    layer = mixer(config["mixer"], config["width"], task.length, config["size"])
    model = Recaller(task.vocab, config["width"], layer, STD)
    recipe = Recipe(config["steps"], config["learning_rate"])
    loss, seconds = train_on_fresh_sequences(model, task, recipe, torch.Generator().manual_seed(config["seed"]))
    chosen_on, tested_on = (
        sequences(task, CHECKED, torch.Generator().manual_seed(seed)) for seed in (CHOICE_SEED, TEST_SEED)
    )
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "state": layer.state,
        "loss": round(loss, 5),
        "choice_accuracy": round(accuracy_on(model, *chosen_on), 5),
        "accuracy": round(accuracy_on(model, *tested_on), 5),
        "cpu_seconds": round(seconds, 2),
    }


def name_of(kind, size):
    return f"{NAMES[kind]}, {SIZES[kind].format(size)}" if size else NAMES[kind]


def row(kind, size, best):
    accuracies, result = results_of(best, "accuracy"), best[0]["result"]
    return [
        name_of(kind, size),
        f"{result['state']:,}",
        f"{result['parameters']:,}",
        mean_and_spread(accuracies),
        f"{min(accuracies):.3f} to {max(accuracies):.3f}",
        f"{best[0]['config']['learning_rate']:g}",
        f"{statistics.median(results_of(best, 'cpu_seconds')):.0f}",
    ]


def task_report(name, task, best):
    title = (
        f"**Task {name}**: {task['pairs']} pairs in {task['length']} tokens of {task['vocab']}, width {task['width']}, "
        f"{task['steps']} steps"
    )
    rows = [row(kind, size, lines) for (of, kind, size), lines in best.items() if of == name]
    if not rows:
        return f"{title}: not all runs of a mixer are done."
    left = len(mixers_for(task)) - len(rows)
    header = ["mixer", "state, numbers", "parameters", "accuracy", "of the seeds", "learning rate", "CPU s"]
    note = f"\n\nNot all runs of {left} more mixers are done." if left else ""
    return f"{title}; mean and standard deviation over the seeds.\n\n{markdown_table(header, rows)}{note}"


def report(lines, quick=False):
    best = best_runs(lines, configs(quick), "task", "mixer", "size")
    parts = [task_report(name, task, best) for name, task in tasks(quick).items()]
    return "\n\n".join([*parts, conditions_line(lines)])


def panels(lines):
    """Accuracy against state size, a panel for each task."""
    best, found = best_runs(lines, configs(False), "task", "mixer", "size"), []
    for name, task in TASKS.items():
        points = {}
        for (of, kind, _), runs in best.items():
            if of == name:
                mean = statistics.mean(results_of(runs, "accuracy"))
                points.setdefault((NAMES[kind], ""), []).append((runs[0]["result"]["state"], mean))
        if points:
            title = f"Task {name}: {task['pairs']} pairs, {task['length']} tokens, width {task['width']}"
            found.append(Panel(title, "accuracy", points, top=1))
    return found
