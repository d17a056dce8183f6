"""The commands that see, as a user runs them: wkv classify, zero-shot, embed, retrieve, eval."""
import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
import wkv
from conftest import golden, shared
from png import write_png
from test_cli import error_of, text_of
from test_cli import wkv as run
from torch.nn.functional import normalize

SIZE = ("--pipeline", "clip32")  # the tiny models are of small images
LABELS = ("red", "a green thing", "blue")


def checkpoint(path, fixture, **changes):
    """The weights (keys w.*) of a golden file, some of them replaced."""
    tensors = safetensors.torch.load_file(golden(fixture))
    weights = {name[2:]: tensor for name, tensor in tensors.items() if name.startswith("w.")}
    assert changes.keys() <= weights.keys()
    safetensors.torch.save_file(weights | changes, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("vision")


@pytest.fixture(scope="module")
def classifier(folder):
    """A VRWKV of ten classes."""
    return checkpoint(folder / "vrwkv.safetensors", "vrwkv/small_postnorm_layerscale_32x32.safetensors")


@pytest.fixture(scope="module")
def config():
    """What the classifier's shapes don't tell."""
    return ("--config", golden("vrwkv/small_postnorm_layerscale_32x32.json"))


@pytest.fixture(scope="module")
def clip(folder):
    """A tiny RWKV-CLIP that reads CLIP's tokens."""
    width = safetensors.torch.load_file(golden("rwkv_clip/tiny_cls.safetensors"))["w.text_model.emb.weight"].shape[1]
    words = torch.randn(49408, width, generator=torch.Generator().manual_seed(1))
    return checkpoint(
        folder / "clip.safetensors", "rwkv_clip/tiny_cls.safetensors", **{"text_model.emb.weight": words}
    )


@pytest.fixture(scope="module")
def vocabulary():
    return ("--tokenizer", shared("data/tokenizers/bpe_simple_vocab_16e6.txt.gz"))


@pytest.fixture(scope="module")
def photos(folder):
    """Five images, one of them in a subfolder, and a file that is none."""
    generator = torch.Generator().manual_seed(3)
    (folder / "photos/deep").mkdir(parents=True)
    for name in ("a.png", "b c.png", "d.PNG", "deep/é.png", "e.png"):
        pixels = torch.randint(256, (40, 33, 3), dtype=torch.uint8, generator=generator)
        write_png(folder / "photos" / name, pixels)
    (folder / "photos/notes.txt").write_text("no image\n")
    return folder / "photos"


@pytest.fixture(scope="module")
def index(folder, clip, photos):
    """The photos' embeddings."""
    text_of("embed", clip, photos, "--output", folder / "index.safetensors", *SIZE)
    return folder / "index.safetensors"


def objects_of(*arguments, **options):
    return [json.loads(line) for line in text_of(*arguments, "--json", **options).splitlines()]


def files_in(photos):
    return sorted(str(path) for path in photos.rglob("*.*") if path.suffix.lower() == ".png")


def images_of(paths):
    return torch.stack([wkv.preprocess(path, "clip32") for path in paths])


def damaged(tmp_path, photos):
    """Two files that can't be read, and one that can."""
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    return tmp_path / "text.jpg", photos / "a.png", tmp_path / "empty.png"


def failed(*arguments):
    """stdout and the lines on stderr of a command that ends with status 1."""
    done = run(*arguments, status=1)
    return done.stdout.decode(), done.stderr.decode().splitlines()


# classify


def test_classes_are_the_softmax_of_the_logits(classifier, config, photos):
    found = objects_of("classify", classifier, photos, *SIZE, *config, "--top", 10, "--batch", 2)
    assert [item["file"] for item in found] == files_in(photos)
    model = wkv.load(classifier, config=json.loads(config[1].read_text()))
    expected = model(images_of(files_in(photos))).softmax(-1)
    for item, row in zip(found, expected):
        values, places = row.sort(descending=True)
        assert [one["index"] for one in item["classes"]] == places.tolist()
        torch.testing.assert_close(torch.tensor([one["probability"] for one in item["classes"]]), values.detach())


def test_classes_have_the_names_of_a_file(classifier, config, photos, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(f"class {i}" for i in range(10)))
    for item in objects_of("classify", classifier, photos, *SIZE, *config, "--labels", tmp_path / "names.txt"):
        assert len(item["classes"]) == 5
        assert all(one["name"] == f"class {one['index']}" for one in item["classes"])
    text = text_of("classify", classifier, photos / "a.png", *SIZE, *config, "--labels", tmp_path / "names.txt")
    assert text.splitlines()[0] == str(photos / "a.png") and "class " in text.splitlines()[1]


def test_names_of_another_number_are_refused(classifier, config, photos):
    message = error_of("classify", classifier, photos, *SIZE, *config, "--labels", "cat,dog")
    assert message == "wkv: cat,dog: 2 names for a model of 10 classes\n"


def test_a_batch_goes_on_with_the_others(classifier, config, photos, tmp_path):
    text, good, empty = damaged(tmp_path, photos)
    missing = tmp_path / "missing.jpg"
    out, errors = failed("classify", classifier, text, good, empty, missing, *SIZE, *config)
    assert out.splitlines()[0] == str(good) and len(out.splitlines()) == 6
    assert len(errors) == 4 and errors[-1] == f"wkv: 3 of 4 failed: {text}, {empty}, {missing}"
    for path, line in zip((text, empty, missing), errors):
        assert line.startswith(f"wkv: {path}: ")


def test_a_single_bad_image_is_one_line(classifier, config, photos, tmp_path):
    assert str(tmp_path / "text.jpg") in error_of("classify", classifier, damaged(tmp_path, photos)[0], *SIZE, *config)


def test_a_folder_without_images_is_refused(classifier, config, tmp_path):
    assert "no JPEG or PNG file in this folder" in error_of("classify", classifier, tmp_path, *SIZE, *config)


def test_a_language_model_does_not_see(photos):
    assert error_of("classify", "embedded", photos) == "wkv: embedded: not a vision model: it is rwkv7\n"


def test_commands_name_what_a_model_can_not_do(classifier, config, clip, photos, vocabulary, tmp_path):
    assert "not a model of images and texts: it is vrwkv" in error_of(
        "zero-shot", classifier, photos, "--labels", "a,b", *config, *vocabulary
    )
    assert "not an image classifier" in error_of("classify", clip, photos)
    (tmp_path / "t.txt").write_text("a cat\n")
    assert "not a model of images and texts: it is vrwkv" in error_of(
        "embed", classifier, "--text", tmp_path / "t.txt", "--output", tmp_path / "x.npy", *config
    )


def test_an_unknown_pipeline_is_refused(classifier, config, photos):
    assert "mm225x" in error_of("classify", classifier, photos, *config, "--pipeline", "mm225x")


def test_images_are_required(classifier, config):
    assert "IMAGE" in error_of("classify", classifier, *config, status=2)


# zero-shot


def test_zero_shot_is_the_ensemble_of_prompts(clip, photos, vocabulary, tmp_path):
    templates = ["a photo of a {}.", "{}"]
    (tmp_path / "templates.json").write_text(json.dumps(templates))
    found = objects_of(
        "zero-shot", clip, photos, "--labels", ",".join(LABELS), "--templates", tmp_path / "templates.json",
        *SIZE, *vocabulary,
    )
    model, tokenizer = wkv.load(clip), wkv.tokenizer(vocabulary[1])
    columns = []
    for label in LABELS:
        rows = [tokenizer.encode(text.format(label), context_length=77) for text in templates]
        columns.append(normalize(normalize(model.encode_text(torch.tensor(rows))).mean(0), dim=0))
    scores = 100 * normalize(model.encode_image(images_of(files_in(photos)))) @ torch.stack(columns, 1)
    for item, row in zip(found, scores.softmax(-1)):
        probabilities = {one["name"]: one["probability"] for one in item["classes"]}
        torch.testing.assert_close(
            torch.tensor([probabilities[label] for label in LABELS]), row.detach(), atol=1e-4, rtol=1e-3
        )


def test_labels_that_are_there_twice_are_refused(clip, photos, vocabulary, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\ncat\n")
    message = error_of("zero-shot", clip, photos, "--labels", tmp_path / "labels.txt", *vocabulary)
    assert message == f'wkv: {tmp_path}/labels.txt: "cat" is there twice, as class 0 and as class 2\n'


def test_a_published_set_is_found_by_its_name(clip, photos, vocabulary, monkeypatch):
    monkeypatch.setenv("WKV_LABELS", str(shared("data/zero_shot")))
    (item,) = objects_of("zero-shot", clip, photos / "a.png", "--labels", "cifar10", *SIZE, *vocabulary, "--top", 10)
    assert {one["name"] for one in item["classes"]} >= {"airplane", "truck"} and len(item["classes"]) == 10


# embed


@pytest.mark.parametrize("suffix", [".safetensors", ".npy"])
def test_embeddings_are_the_image_features(clip, photos, tmp_path, suffix):
    output = tmp_path / f"photos{suffix}"
    (report,) = objects_of("embed", clip, photos, "--output", output, *SIZE, "--batch", 2)
    found = wkv.vision.load_embeddings(output)
    assert report["embeddings"] == 5 and report["failed"] == [] and found.names == files_in(photos)
    expected = wkv.load(clip).encode_image(images_of(found.names)).detach()
    torch.testing.assert_close(found.vectors, expected, atol=1e-4, rtol=1e-3)
    assert not list(tmp_path.glob("*.partial"))


def test_embeddings_of_a_classifier_are_its_pooled_features(classifier, config, photos, tmp_path):
    text_of("embed", classifier, photos, "--output", tmp_path / "x.npy", *SIZE, *config)
    found = wkv.vision.load_embeddings(tmp_path / "x.npy")
    model = wkv.load(classifier, config=json.loads(config[1].read_text()))
    expected = wkv.vision.embed_images(model, images_of(found.names))
    torch.testing.assert_close(found.vectors, expected, atol=1e-4, rtol=1e-3)


def test_embeddings_can_have_length_one(clip, photos, tmp_path):
    text_of("embed", clip, photos, "--output", tmp_path / "x.npy", "--normalize", *SIZE)
    torch.testing.assert_close(wkv.vision.load_embeddings(tmp_path / "x.npy").vectors.norm(dim=1), torch.ones(5))


def test_a_list_may_come_from_standard_input(clip, photos, tmp_path):
    paths = f"{photos / 'e.png'}\n{photos / 'a.png'}\n"
    text_of("embed", clip, "--list", "-", "--output", tmp_path / "x.npy", *SIZE, stdin=paths.encode())
    assert (tmp_path / "x.names.txt").read_text() == paths


def test_texts_are_embedded_line_by_line(clip, vocabulary, tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\n\na dog\na cat\n")
    text_of("embed", clip, "--text", tmp_path / "texts.txt", "--output", tmp_path / "x.safetensors", *vocabulary)
    found = wkv.vision.load_embeddings(tmp_path / "x.safetensors")
    assert found.names == ["a cat", "a dog", "a cat"]
    expected = wkv.vision.embed_texts(wkv.load(clip), wkv.tokenizer(vocabulary[1]), found.names)
    torch.testing.assert_close(found.vectors, expected)


def test_an_interrupted_run_goes_on(clip, photos, tmp_path):
    """What the first run did is not done again: the images are gone by the second."""
    images = [tmp_path / "1.png", tmp_path / "2.png"]
    for image, photo in zip(images, files_in(photos)):
        image.write_bytes(Path(photo).read_bytes())
    arguments = ("embed", clip, *images, "--output", tmp_path / "x.npy", *SIZE)
    (tmp_path / "x.names.txt").mkdir()  # where the names should go: the first run ends before its output is written
    error_of(*arguments)
    (tmp_path / "x.names.txt").rmdir()
    for image in images:
        image.unlink()
    text_of(*arguments, tmp_path / "3.png", status=1)
    assert wkv.vision.load_embeddings(tmp_path / "x.npy").names == [str(image) for image in images]


def test_a_run_with_other_options_does_not_go_on(clip, photos, tmp_path):
    (tmp_path / "x.npy.partial").write_text("wkv embed: another\n")
    message = error_of("embed", clip, photos, "--output", tmp_path / "x.npy", *SIZE)
    assert message.startswith(f"wkv: {tmp_path}/x.npy.partial: left by a run with another model")


def test_images_that_fail_are_left_out_of_the_file(clip, photos, tmp_path):
    text, good, empty = damaged(tmp_path, photos)
    out, errors = failed("embed", clip, text, good, empty, "--output", tmp_path / "x.npy", *SIZE)
    assert errors[-1] == f"wkv: 2 of 3 failed: {text}, {empty}" and "1 embeddings" in out
    assert wkv.vision.load_embeddings(tmp_path / "x.npy").names == [str(good)]


def test_where_everything_fails_nothing_is_written(clip, photos, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    error_of("embed", clip, damaged(tmp_path, photos)[0], "--output", output / "x.npy", *SIZE)
    assert not list(output.iterdir())


def test_the_output_is_checked_before_the_work(clip, photos, tmp_path):
    assert "expected a name that ends in" in error_of("embed", clip, photos, "--output", tmp_path / "x.txt")
    assert "No such file" in error_of("embed", clip, photos, "--output", tmp_path / "no/where.npy", *SIZE)


def test_images_and_texts_are_not_mixed(clip, photos, tmp_path):
    error_of("embed", clip, photos, "--text", "-", "--output", tmp_path / "x.npy", status=2)


# retrieve


def test_an_image_finds_itself(clip, index, photos):
    for path in files_in(photos):
        (found,) = objects_of("retrieve", clip, "--index", index, "--query", path, "--top", 2, *SIZE)
        assert found["query"] == path and len(found["results"]) == 2
        assert found["results"][0]["name"] == path and found["results"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_a_text_finds_the_most_similar_image(clip, index, photos, vocabulary):
    queries = ["a cat", "a dog, sleeping"]
    found = objects_of(
        "retrieve", clip, "--index", index, "--query", queries[0], "--query", queries[1], *SIZE, *vocabulary
    )
    texts = wkv.vision.embed_texts(wkv.load(clip), wkv.tokenizer(vocabulary[1]), queries)
    images = wkv.vision.load_embeddings(index)
    for item, row in zip(found, normalize(texts) @ normalize(images.vectors).T):
        assert [one["name"] for one in item["results"]] == [images.names[i] for i in row.argsort(descending=True)]


def test_an_image_finds_texts(clip, photos, vocabulary, tmp_path):
    (tmp_path / "t.txt").write_text("a cat\na dog\n")
    text_of("embed", clip, "--text", tmp_path / "t.txt", "--output", tmp_path / "t.npy", *vocabulary)
    text = text_of("retrieve", clip, "--index", tmp_path / "t.npy", "--query", photos / "a.png", *SIZE)
    assert len(text.splitlines()) == 3 and "a cat" in text and "a dog" in text


def test_a_mistyped_image_is_no_text(clip, index):
    assert "typo.jpg" in error_of("retrieve", clip, "--index", index, "--query", "typo.jpg", *SIZE)


def test_an_index_of_another_width_is_refused(clip, photos, tmp_path):
    index = tmp_path / "index.npy"
    wkv.vision.save_embeddings(index, torch.ones(2, 3), ["a", "b"])
    message = error_of("retrieve", clip, "--index", index, "--query", photos / "a.png", *SIZE)
    assert message.startswith(f"wkv: {index}: vectors of 3 values, {clip} makes some of ")


# eval


def test_accuracy_is_that_of_the_zero_shot_answers(clip, photos, vocabulary, tmp_path):
    labels = ("--labels", ",".join(LABELS))
    answers = objects_of("zero-shot", clip, photos, *labels, *SIZE, *vocabulary)
    best = [LABELS.index(item["classes"][0]["name"]) for item in answers]
    wrong = [best[0], *((label + 1) % 3 for label in best[1:])]
    for targets, top1 in ((best, 1), (wrong, 0.2)):
        lines = [f"{item['file']}\t{target}\n" for item, target in zip(answers, targets)]
        (tmp_path / "list.tsv").write_text("".join(lines))
        (report,) = objects_of("eval", clip, "zero-shot", "--list", tmp_path / "list.tsv", *labels, *SIZE, *vocabulary)
        assert report["images"] == 5 and report["classes"] == 3
        assert report["top1"] == pytest.approx(top1) and report["top5"] == 1


def test_accuracy_of_a_folder_a_class(clip, photos, vocabulary, tmp_path):
    for label in ("red", "blue"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").write_bytes((photos / "a.png").read_bytes())
    text = text_of("eval", clip, "zero-shot", "--images", tmp_path, "--labels", "red,blue", *SIZE, *vocabulary)
    assert text == "top-1 50.00 %, top-5 100.00 %, mean per class 50.00 % (2 images, 2 classes)\n"


def test_retrieval_is_scored_over_a_file_of_captions(clip, photos, vocabulary, tmp_path):
    names = [os.path.relpath(path, photos) for path in files_in(photos)]
    captions = [[f"{name} one", f"{name} two"] for name in names]
    (tmp_path / "karpathy.json").write_text(
        json.dumps([{"image": name, "caption": both} for name, both in zip(names, captions)])
    )
    (report,) = objects_of(
        "eval", clip, "retrieval", "--annotations", tmp_path / "karpathy.json", "--images", photos, *SIZE, *vocabulary
    )
    model, tokenizer = wkv.load(clip), wkv.tokenizer(vocabulary[1])
    texts = wkv.vision.embed_texts(model, tokenizer, [f"a photo of {text}" for both in captions for text in both])
    images = wkv.vision.embed_images(model, images_of(files_in(photos)))
    expected = wkv.vision.score_retrieval(images, texts, torch.arange(5).repeat_interleave(2))
    assert report["images"] == 5 and report["captions"] == 10
    for direction in ("text_to_image", "image_to_text"):
        assert tuple(report[direction].values()) == pytest.approx(getattr(expected, direction))


def test_an_evaluation_goes_on_without_images_that_fail(clip, photos, vocabulary, tmp_path):
    text, good, _ = damaged(tmp_path, photos)
    annotations = [{"image": str(path), "caption": "x"} for path in (text, good)]
    (tmp_path / "a.json").write_text(json.dumps(annotations))
    out, errors = failed(
        "eval", clip, "retrieval", "--annotations", tmp_path / "a.json", "--images", "/", "--json", *SIZE, *vocabulary
    )
    report = json.loads(out)
    assert report["images"] == 1 and report["failed"] == [str(text)]
    assert errors[-1] == f"wkv: 1 of 2 failed: {text}"


# info


def test_info_names_the_tokenizer_of_a_model_of_texts(clip, classifier):
    assert json.loads(text_of("info", clip, "--json"))["tokenizer"] == "clip"
    assert json.loads(text_of("info", classifier, "--json"))["tokenizer"] == ""


def test_info_tells_no_state_of_a_model_without_one(clip, classifier):
    for model in (clip, classifier):
        assert "state" not in [line.split()[0] for line in text_of("info", model).splitlines()]
