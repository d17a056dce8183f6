"""A linear probe: how well a linear classifier over a model's frozen image features tells classes apart.

    linear_probe.py --model vrwkv_t_in1k_224.pth --train photos/train --test photos/test
    linear_probe.py --train train.safetensors --test test.safetensors        # what `wkv embed` wrote

The protocol of CLIP (arXiv 2103.00020, appendix A): features as they are, not normalised; multinomial logistic
regression with an L2 penalty, by L-BFGS; its strength C chosen on a fifth of the training images, then all of them
fitted with it. A folder holds a folder of .jpg and .png files for each class. Of an embedding file the images' folders
are their classes, or --train-labels and --test-labels name files with a class a line.
"""
import argparse
from pathlib import Path

import torch
import wkv
from torch.nn.functional import cross_entropy

BATCH = 32


def main() -> None:
    options = parse_options()
    model = wkv.load(options.model) if options.model else None
    train, train_labels = read_features(options.train, options.train_labels, model)
    test, test_labels = read_features(options.test, options.test_labels, model)
    classes = sorted(set(train_labels))
    if unknown := set(test_labels) - set(classes):
        raise SystemExit(f"{options.test}: classes that the training images don't have: {', '.join(sorted(unknown))}")
    train_targets, test_targets = (torch.tensor([classes.index(x) for x in y]) for y in (train_labels, test_labels))

    c, validation = choose_c(train, train_targets, len(classes), options.iterations)
    print(f"C {c:.3g}: {validation:.1%} of the validation images")
    score = evaluate(fit(train, train_targets, len(classes), c, options.iterations), test, test_targets)
    print(f"test: {score.top1:.1%} of {score.images} images, mean over the classes {score.mean_per_class:.1%}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a checkpoint, where --train and --test are folders of images")
    parser.add_argument("--train", type=Path, required=True, help="a folder of a folder for each class, or embeddings")
    parser.add_argument("--test", type=Path, required=True, help="the same")
    parser.add_argument("--train-labels", type=Path, help="the embeddings' classes, one a line")
    parser.add_argument("--test-labels", type=Path)
    parser.add_argument("--iterations", type=int, default=1000, help="of L-BFGS at most")
    return parser.parse_args()


def read_features(source: Path, labels: Path | None, model: wkv.Model | None) -> tuple[torch.Tensor, list[str]]:
    """Features [n, C] and the name of each one's class."""
    if source.is_dir():
        if model is None:
            raise SystemExit(f"{source}: a folder of images needs a --model")
        features, names = embed_folder(source, model)
    else:
        features, names = wkv.vision.load_embeddings(source)
    classes = labels.read_text().splitlines() if labels else [Path(name).parent.name for name in names]
    if len(classes) != len(features):
        raise SystemExit(f"{labels}: {len(classes)} labels for {len(features)} images")
    return features, classes


def embed_folder(folder: Path, model: wkv.Model) -> wkv.vision.Embeddings:
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise SystemExit(f"{folder}: no folders with .jpg or .png files in it")
    features = []
    for first in range(0, len(paths), BATCH):
        images, errors = wkv.vision.preprocess_files(paths[first : first + BATCH], model.preprocessing)
        if errors:
            raise SystemExit("\n".join(errors.values()))
        features.append(wkv.vision.embed_images(model, torch.stack(images)))
    return wkv.vision.Embeddings(torch.cat(features), [str(path) for path in paths])


def fit(features: torch.Tensor, targets: torch.Tensor, classes: int, c: float, iterations: int) -> torch.Tensor:
    """Minimises c * sum of cross-entropies + |weights|^2 / 2: [C + 1, classes], the last row of which is not penalised."""
    features = with_ones(features)
    weights = features.new_zeros(features.shape[1], classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=iterations, tolerance_change=1e-9, line_search_fn="strong_wolfe")

    def objective() -> torch.Tensor:  # divided by c and the number of images, for the sake of L-BFGS's tolerances
        optimizer.zero_grad()
        penalty = weights[:-1].square().sum() / (2 * c * len(features))
        loss = cross_entropy(features @ weights, targets) + penalty
        loss.backward()
        return loss

    optimizer.step(objective)
    return weights.detach()


def evaluate(weights: torch.Tensor, features: torch.Tensor, targets: torch.Tensor) -> wkv.vision.ClassificationScore:
    return wkv.vision.score_classification(with_ones(features) @ weights, targets)


def with_ones(features: torch.Tensor) -> torch.Tensor:
    return torch.cat([features, features.new_ones(len(features), 1)], 1)


def choose_c(features: torch.Tensor, targets: torch.Tensor, classes: int, iterations: int) -> tuple[float, float]:
    """The C from 1e-6 to 1e6 with the best accuracy on a fifth of the images, and that accuracy.

    Seven powers of 10 first, then closer and closer around the best, down to an eighth of a decade.
    """
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    held_out, rest = order[: len(order) // 5], order[len(order) // 5 :]
    accuracies: dict[float, float] = {}

    def accuracy(exponent: float) -> float:
        if exponent not in accuracies:
            weights = fit(features[rest], targets[rest], classes, 10**exponent, iterations)
            accuracies[exponent] = evaluate(weights, features[held_out], targets[held_out]).top1
        return accuracies[exponent]

    best, step = max(range(-6, 7, 2), key=accuracy), 1.0
    while step >= 1 / 8:
        best, step = max((best, best - step, best + step), key=accuracy), step / 2
    return 10**best, accuracies[best]


if __name__ == "__main__":
    main()
