"""`wkv train` on images, and the commands that use what it wrote."""
import json

import numpy
import pytest
from conftest import ROOT
from png import write_png
from test_cli import error_of, text_of

COLOURS = ("blue", "green", "red")


def picture(colour, i):
    """The i-th shade of a colour."""
    pixels = numpy.full((16, 16, 3), 8 * i, numpy.uint8)
    pixels[..., 2 - COLOURS.index(colour)] = 250 - 3 * i
    return pixels


def files_of(output):
    return sorted(path.name for path in output.iterdir() if not path.name.startswith("checkpoint"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    captions = []
    for colour in COLOURS:
        (folder / colour).mkdir()
        for i in range(4):
            write_png(folder / colour / f"{i}.png", picture(colour, i))
            captions.append({"image": f"{colour}/{i}.png", "caption": [colour, f"all {colour}"]})
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


def train(tmp_path, recipe, **settings):
    output = tmp_path / "out"
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({"output": str(output), "seed": 3, "batch": 6, "threads": 1, "export_dtype": "fp32"} | recipe))
    text_of("train", file, *(f"{key}={value}" for key, value in settings.items()))
    return output


def test_a_trained_classifier_names_the_classes_of_its_folders(tmp_path, photos):
    config = {"img_size": 16, "patch_size": 8, "embed_dims": 32, "depth": 2, "hidden_rate": 2}
    output = train(
        tmp_path,
        {
            "steps": 40,
            "model": {"family": "vrwkv", "config": config},
            "data": {"images": str(photos), "held_out_images": str(photos), "augment": {"flip": 0.5}},
            "optimizer": {"learning_rate": 5e-3, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.05, "clip": 5},
        },
    )
    assert files_of(output) == ["card.json", "config.json", "labels.txt", "metrics.jsonl", "model.safetensors", "recipe.json"]
    card = json.loads((output / "card.json").read_text())
    assert card["held_out_accuracy"] == 1 and card["classes"] == list(COLOURS)
    answers = text_of("classify", output / "model.safetensors", photos, "--labels", output / "labels.txt", "--top", 1, "--json")
    for line in answers.splitlines():
        answer = json.loads(line)
        assert answer["file"].split("/")[-2] == answer["classes"][0]["name"]


def test_a_trained_clip_finds_the_words_of_its_captions(tmp_path, photos):
    config = {"input_size": 16, "image_patch_size": 8, "image_depth": 2, "image_num_heads": 2, "image_hidden_rate": 2}
    config |= {"n_embd": 32, "n_layer": 2, "head_size": 16, "ctx_len": 12}
    captions = str(photos / "captions.json")
    output = train(
        tmp_path,
        {
            "steps": 80,
            "model": {"family": "rwkv_clip", "config": config},
            "data": {"images": str(photos), "captions": captions, "held_out_captions": captions, "caption_weights": [0.7, 0.3]},
            "optimizer": {"decay": "one_cycle", "learning_rate": 3e-3, "beta2": 0.98, "eps": 1e-8, "weight_decay": 0.2},
        },
        **{"optimizer.final_learning_rate": 1e-8},
    )
    card = json.loads((output / "card.json").read_text())
    assert card["held_out_zero_shot_accuracy"] > 0.9 > card["held_out_zero_shot_chance"]
    model = (output / "model.safetensors", photos, "--labels", ",".join(COLOURS), "--top", 1, "--json")
    answers = text_of("zero-shot", *model, "--templates", "{}")
    right = [json.loads(line) for line in answers.splitlines()]
    assert sum(one["file"].split("/")[-2] == one["classes"][0]["name"] for one in right) >= 11


SMALL = {
    ("vrwkv_t_imagenet", "vrwkv"): {"img_size": 32, "patch_size": 16, "embed_dims": 32, "depth": 2},
    ("vrwkv_t_imagenet", "vrwkv6"): {"img_size": 32, "patch_size": 16, "embed_dims": 32, "depth": 2, "num_heads": 2},
    ("rwkv_clip_b32_yfcc15m", "rwkv_clip"): {
        "input_size": 32, "image_patch_size": 16, "image_depth": 2, "image_num_heads": 2, "image_hidden_rate": 2, "drop_path_rate": 0.3,
        "n_embd": 32, "n_layer": 2, "head_size": 16, "ctx_len": 12,
    },
}


@pytest.mark.parametrize("name, family", SMALL)
def test_a_published_recipe_trains_a_small_model(tmp_path, photos, name, family):
    recipe = json.loads((ROOT / f"examples/train/published/{name}.json").read_text())
    recipe |= {"output": str(tmp_path / "out"), "steps": 2, "batch": 6, "model": {"family": family, "config": SMALL[name, family]}}
    recipe["data"] |= {"images": str(photos)}
    if family == "rwkv_clip":
        recipe["data"] |= {"captions": str(photos / "captions.json"), "tokenizer": "bytes"}
    else:
        recipe["data"] |= {"held_out_images": str(photos)}
    output = train(tmp_path, recipe)
    assert json.loads((output / "card.json").read_text())["family"] == family


def test_operations_and_erasure_change_what_is_trained_on(tmp_path, photos):
    losses = []
    for augment in ({}, {"rand_augment": 9}, {"erase": 1}):
        (folder := tmp_path / str(len(losses))).mkdir()
        model = {"family": "vrwkv", "config": {"img_size": 16, "patch_size": 8, "embed_dims": 32, "depth": 2}}
        output = train(folder, {"steps": 1, "model": model, "data": {"images": str(photos), "augment": augment}, "log_every": 1})
        losses.append(json.loads((output / "metrics.jsonl").read_text().splitlines()[0])["loss"])
    assert len(set(losses)) == 3


def test_a_class_without_pictures_is_named(tmp_path, photos):
    recipe = tmp_path / "recipe.json"
    data = {"images": str(photos), "labels": [*COLOURS, "white"]}
    model = {"family": "vrwkv", "config": {"img_size": 16, "patch_size": 8}}
    recipe.write_text(json.dumps({"output": str(tmp_path / "out"), "batch": 2, "data": data, "model": model}))
    assert "no image of the class white" in error_of("train", recipe)
