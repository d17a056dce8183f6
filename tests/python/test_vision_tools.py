"""wkv.vision: embeddings and their files, zero-shot classifiers, search and scores."""
import json

import numpy
import pytest
import safetensors.torch
import torch
import wkv
from conftest import golden, shared
from torch.nn.functional import normalize
from vision_cases import CASES, VisionFixture


@pytest.fixture(scope="module")
def evaluation():
    tensors = safetensors.torch.load_file(golden("rwkv_clip/evaluation.safetensors"))
    return tensors, json.loads(golden("rwkv_clip/evaluation.json").read_text())


@pytest.fixture(scope="module")
def tokenizer():
    return wkv.tokenizer(shared("data/tokenizers/bpe_simple_vocab_16e6.txt.gz"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A tiny RWKV-CLIP that reads CLIP's tokens."""
    f = VisionFixture(CASES["clip"], tmp_path_factory.mktemp("clip"))
    width = f.weights["text_model.emb.weight"].shape[1]
    generator = torch.Generator().manual_seed(1)
    f.weights["text_model.emb.weight"] = torch.randn(49408, width, generator=generator)
    safetensors.torch.save_file(f.weights, f.path)
    f.config |= {"vocab_size": 49408, "ctx_len": 77}
    return f.load()


def images(number):
    return torch.randn(number, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def test_rows_of_tokens(tokenizer):
    row = tokenizer.encode("a photo of a cat.", context_length=77)
    tokens = tokenizer.encode("a photo of a cat.")
    assert row == [49406, *tokens, 49407] + [0] * (75 - len(tokens))
    assert wkv.tokenizer("bytes").encode("ab", context_length=4) == [97, 98, 0, 0]
    with pytest.raises(ValueError):
        tokenizer.encode("a", context_length=0)


def test_embeddings_are_the_features(clip, tokenizer):
    texts = ["a cat", "a dog", "", "a very long text " * 50]
    rows = torch.tensor([tokenizer.encode(text, context_length=77) for text in texts])
    torch.testing.assert_close(wkv.vision.embed_texts(clip, tokenizer, texts), clip.encode_text(rows).detach())
    found = wkv.vision.embed_images(clip, images(3))
    assert not found.requires_grad
    torch.testing.assert_close(found, clip.encode_image(images(3)).detach())


@pytest.mark.parametrize("case", ["vrwkv", "vrwkv6 with class token", "detection adapter"])
def test_embeddings_of_other_models_are_of_the_last_stage(case, tmp_path):
    f = VisionFixture(CASES[case], tmp_path)
    model = f.load()
    last = model.features(f["in.x"])[-1]
    expected = last[1] if isinstance(last, tuple) else last.mean((2, 3))
    torch.testing.assert_close(wkv.vision.embed_images(model, f["in.x"]), expected.detach())


@pytest.mark.parametrize("suffix", [".safetensors", ".npy"])
def test_embedding_files_come_back(tmp_path, suffix):
    path, vectors, names = tmp_path / f"photos{suffix}", torch.randn(3, 5), ["a.jpg", "Grüße.png", "c d.png"]
    wkv.vision.save_embeddings(path, vectors, names)
    found = wkv.vision.load_embeddings(path)
    assert torch.equal(found.vectors, vectors) and found.names == names
    if suffix == ".npy":
        assert numpy.array_equal(numpy.load(path), vectors.numpy())


def test_numpy_files_of_others_have_numbers_for_names(tmp_path):
    numpy.save(tmp_path / "x.npy", numpy.ones((2, 3), numpy.float16))
    found = wkv.vision.load_embeddings(tmp_path / "x.npy")
    assert found.names == ["0", "1"] and found.vectors.dtype == torch.float32


def test_search_is_exact():
    index, queries = torch.randn(200, 16), torch.randn(7, 16)
    scores, rows = wkv.vision.search(index, queries, top=5)
    expected = (normalize(queries) @ normalize(index).T).topk(5)
    torch.testing.assert_close(scores, expected.values)
    assert torch.equal(rows, expected.indices)


def test_retrieval_scores(evaluation):
    tensors, published = evaluation
    inputs = ["retrieval.image_embeds", "retrieval.text_embeds", "retrieval.image_of_text"]
    found = wkv.vision.score_retrieval(*(tensors[name] for name in inputs))
    to_image, to_text = published["retrieval"].values()
    assert [100 * x for x in found.text_to_image] == pytest.approx([*to_image.values()])
    assert [100 * x for x in found.image_to_text] == pytest.approx([*to_text.values()])


def test_zero_shot_scores(evaluation):
    tensors, published = evaluation
    logits = wkv.vision.zero_shot_logits(tensors["zero_shot.image_embeds"], tensors["zero_shot.classifier"])
    torch.testing.assert_close(logits, tensors["zero_shot.logits"], rtol=0, atol=1e-4)
    found = wkv.vision.score_classification(logits, tensors["zero_shot.target"])
    assert found.images == 80
    assert found.top1 == pytest.approx(published["zero_shot"]["top1"])
    assert found.mean_per_class == pytest.approx(published["zero_shot"]["mean_per_class"])


def test_a_zero_shot_classifier_is_the_mean_of_its_prompts(clip, tokenizer):
    templates = ["a photo of a {}.", "the {}, drawn"]
    classifier = wkv.vision.zero_shot_classifier(clip, tokenizer, ["cat", ["dog", "hound"]], templates)
    prompts = [["a photo of a cat.", "the cat, drawn"],
               ["a photo of a dog.", "the dog, drawn", "a photo of a hound.", "the hound, drawn"]]
    expected = [normalize(normalize(wkv.vision.embed_texts(clip, tokenizer, x)).mean(0), dim=0) for x in prompts]
    torch.testing.assert_close(classifier, torch.stack(expected, 1))


def test_zero_shot_classification_of_images(clip, tokenizer):
    labels, templates = wkv.vision.load_labels("cat, dog, house"), wkv.vision.templates_of_labels("cat, dog, house")
    classifier = wkv.vision.zero_shot_classifier(clip, tokenizer, labels, templates)
    logits = wkv.vision.zero_shot_logits(wkv.vision.embed_images(clip, images(2)), classifier)
    expected = 100 * clip.encode_image(images(2), normalize=True).detach() @ classifier
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def test_labels_and_templates(tmp_path):
    assert wkv.vision.load_labels("cat, dog") == [["cat"], ["dog"]]
    (tmp_path / "names.txt").write_text("cat\ndog\nhouse\n")
    assert wkv.vision.load_labels(tmp_path / "names.txt") == [["cat"], ["dog"], ["house"]]
    assert wkv.vision.load_templates("a {}!") == ["a {}!"]
    assert wkv.vision.templates_of_labels("cat, dog") == ["a photo of a {}."]


@pytest.mark.parametrize("call, error, message", [
    (lambda: wkv.vision.search(torch.ones(3, 4), torch.ones(1, 5)), ValueError, "5"),
    (lambda: wkv.vision.search(torch.ones(3, 4), torch.ones(1, 4), top=0), ValueError, "top"),
    (lambda: wkv.vision.load_embeddings("no-such-file.npy"), FileNotFoundError, "no-such-file.npy"),
    (lambda: wkv.vision.load_labels("cat, cat"), ValueError, "cat"),
    (lambda: wkv.vision.embed_images(wkv.load("embedded"), images(1)), ValueError, "rwkv7"),
    (lambda: wkv.vision.score_classification(torch.ones(2, 3), torch.tensor([0, 3])), ValueError, "3"),
], ids=range(6))
def test_errors_are_clear(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
    assert "Exception raised from" not in str(caught.value)
