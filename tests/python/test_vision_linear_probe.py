"""examples/linear_probe, from images of colours and shapes to an accuracy."""
import importlib.util
import os
import subprocess
import sys

import pytest
import torch
import wkv
from conftest import ROOT
from png import write_png
from vision_cases import CASES, VisionFixture

SCRIPT = ROOT / "examples/linear_probe/linear_probe.py"
SIZE = 48
CLASSES = {"red-disc": ((200, 40, 40), True), "blue-disc": ((40, 40, 200), True), "blue-square": ((40, 40, 200), False)}


def draw(colour, disc, generator):
    """One disc or square of about this colour, somewhere on a noisy ground."""
    pixels = torch.randint(90, 140, (SIZE, SIZE, 3), generator=generator)
    y, x = torch.randint(16, SIZE - 16, (2,), generator=generator)
    rows, columns = torch.arange(SIZE)[:, None] - y, torch.arange(SIZE) - x
    inside = rows**2 + columns**2 < 14**2 if disc else (rows.abs() < 12) & (columns.abs() < 12)
    pixels[inside] = torch.tensor(colour) + torch.randint(-20, 20, (3,), generator=generator)
    return pixels.to(torch.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("images"), torch.Generator().manual_seed(3)
    for part, number in [("train", 10), ("test", 5)]:
        for name, look in CLASSES.items():
            (folder / part / name).mkdir(parents=True)
            for i in range(number):
                write_png(folder / part / name / f"{i}.png", draw(*look, generator))
    return folder / "train", folder / "test"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return VisionFixture(CASES["vrwkv"], tmp_path_factory.mktemp("model")).path


@pytest.fixture(scope="module")
def probe():
    spec = importlib.util.spec_from_file_location("linear_probe", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "zoo/python")}
    command = [sys.executable, SCRIPT, "--iterations", "50", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_folders_of_images(folders, checkpoint):
    train, test = folders
    done = run("--model", checkpoint, "--train", train, "--test", test)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("test: ") and "of 15 images" in last
    assert float(last.split()[1].rstrip("%")) > 60  # a third by chance


def test_embedding_files_give_what_their_images_give(folders, checkpoint, probe, tmp_path):
    model, files = wkv.load(checkpoint), []
    for folder in folders:
        files.append(tmp_path / f"{folder.name}.safetensors")
        wkv.vision.save_embeddings(files[-1], *probe.embed_folder(folder, model))
    train, test = folders
    found = run("--train", files[0], "--test", files[1])
    assert found.stdout == run("--model", checkpoint, "--train", train, "--test", test).stdout != ""


def test_embeddings_with_a_file_of_labels(tmp_path):
    generator = torch.Generator().manual_seed(4)
    targets = torch.arange(60) % 3
    features = torch.nn.functional.one_hot(targets, 3) + 0.1 * torch.randn(60, 3, generator=generator)
    wkv.vision.save_embeddings(tmp_path / "x.npy", features, [str(i) for i in range(60)])
    (tmp_path / "y.txt").write_text("".join(f"class {i}\n" for i in targets.tolist()))
    done = run("--train", tmp_path / "x.npy", "--train-labels", tmp_path / "y.txt",
               "--test", tmp_path / "x.npy", "--test-labels", tmp_path / "y.txt")
    assert done.stdout.splitlines()[-1] == "test: 100.0% of 60 images, mean over the classes 100.0%", done.stderr


def test_the_fit_is_the_minimum_of_the_penalised_loss(probe):
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    targets = torch.randint(3, (50,), generator=generator)
    weights = probe.fit(features, targets, 3, c=0.7, iterations=1000).requires_grad_()
    logits = features @ weights[:-1] + weights[-1]
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (0.7 * losses + weights[:-1].square().sum() / 2).backward()
    assert weights.grad.abs().max() < 1e-3


@pytest.mark.parametrize("arguments, message", [
    (["--train", "{train}", "--test", "{test}"], "a folder of images needs a --model"),
    (["--model", "{model}", "--train", "{empty}", "--test", "{test}"], "no folders with .jpg or .png files in it"),
])
def test_wrong_use_is_told_in_one_line(folders, checkpoint, tmp_path, arguments, message):
    places = {"train": folders[0], "test": folders[1], "model": checkpoint, "empty": tmp_path}
    done = run(*(argument.format(**places) for argument in arguments))
    assert done.returncode == 1 and done.stderr.endswith(f": {message}\n") and done.stderr.count("\n") == 1
