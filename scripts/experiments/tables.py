"""Results as Markdown tables, and their places in docs/reproduce.md."""

import statistics
from collections import Counter
from pathlib import Path

from pages import with_part
from svg_plot import write_svg

PAGE = Path(__file__).resolve().parents[2] / "docs/reproduce.md"


def markdown_table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def grouped(lines, *names):
    """The lines by the values of these keys of their configurations, in the order of their first line."""
    groups = {}
    for line in lines:
        groups.setdefault(tuple(line["config"][name] for name in names), []).append(line)
    return groups


def results_of(lines, name):
    return [line["result"][name] for line in lines]


def best_runs(lines, wanted, *names):
    """Values of these keys of the configurations -> the lines of the learning rate with the best mean on the sequences
    for the choice; only where every run that is wanted is done: before that nothing is ranked."""
    groups = grouped(lines, *names)
    counts = Counter(tuple(config[name] for name in names) for config in wanted)
    complete = {key: grouped(groups[key], "learning_rate") for key in counts if len(groups.get(key, [])) == counts[key]}
    return {
        key: max(by_rate.values(), key=lambda lines: statistics.mean(results_of(lines, "choice_accuracy")))
        for key, by_rate in complete.items()
    }


def mean_and_spread(values, digits=3):
    """ "0.912 ± 0.004": the mean and the standard deviation of a sample."""
    text = f"{statistics.mean(values):.{digits}f}"
    return f"{text} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else text


def conditions_line(lines):
    """Where and with what the runs were made: several machines, several parts."""
    if not lines:
        return "Not run yet."
    kinds = {}
    for line in lines:
        made_on = line["conditions"]
        machine = made_on.get("device") or f"{made_on['threads']} of {made_on['cores']} threads of {made_on['cpu']}"
        kinds.setdefault(f"{machine}, PyTorch {made_on['torch']}", []).append(line)
    return "Runs: " + "; ".join(f"{len(of_kind)} on {kind}" for kind, of_kind in kinds.items()) + "."


def plot_of(name):
    return PAGE.with_name(f"reproduce_{name.replace('-', '_')}.svg")


def panels_of(experiment, lines):
    return experiment.panels(lines) if hasattr(experiment, "panels") else []


def page_with(page, name, experiment, lines):
    """The page with these results' report, and plot where there is one, between the marks of the name."""
    report = experiment.report(lines) + "\n"
    if panels_of(experiment, lines):
        report += f"\n![the plot of this table]({plot_of(name).name})\n"
    return with_part(page, f"results: {name}", report)


def write(name, experiment, lines):
    """The page, and the plot beside it."""
    PAGE.write_text(page_with(PAGE.read_text(), name, experiment, lines))
    if panels := panels_of(experiment, lines):
        write_svg(plot_of(name), panels, x_title=experiment.X_TITLE)
