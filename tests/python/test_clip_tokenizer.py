"""CLIP's tokenizer: rows, and the prompts of the published data sets."""
import hashlib
import json

import numpy as np
import pytest
import wkv
from conftest import golden, shared

START, END = 49406, 49407


@pytest.fixture(scope="module")
def clip():
    return wkv.tokenizer(shared("data/tokenizers/bpe_simple_vocab_16e6.txt.gz"))


def test_clip_by_its_name(monkeypatch, clip):
    monkeypatch.setenv("WKV_TOKENIZERS", str(shared("data/tokenizers")))
    assert (clip.name, clip.vocab_size) == ("clip", 49408)
    assert wkv.tokenizer("clip").encode("a photo of a cat") == [320, 1125, 539, 320, 2368]


def test_a_context_length_makes_a_row(clip):
    assert clip.encode("a cat", context_length=6) == [START, 320, 2368, END, 0, 0]
    assert clip.encode("a cat", context_length=3) == [START, 320, END]
    assert clip.encode("", context_length=2) == [START, END]


def test_a_row_needs_two_tokens(clip):
    with pytest.raises(ValueError, match="context_length must be in 2..1048576, got 1"):
        clip.encode("a cat", context_length=1)


def test_rows_of_bytes_have_zeros_behind_the_text():
    assert wkv.tokenizer("bytes").encode("a cat", context_length=7) == [*b"a cat", 0, 0]


PROMPTS = json.loads(golden("clip_tokenizer/vectors.json").read_text())["prompt_hashes"]


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_of_the_published_data_sets(clip, name):
    labels, templates = (json.loads(shared(f"data/zero_shot/{kind}.json").read_text())[name] for kind in ("label", "template"))
    digest = hashlib.sha256()
    for label in labels:
        label = label[0] if isinstance(label, list) else label
        for template in templates:
            digest.update(np.array(clip.encode(template.replace("{}", label), context_length=77), "<i4").tobytes())
    assert len(labels) * len(templates) == PROMPTS[name]["prompts"]
    assert digest.hexdigest() == PROMPTS[name]["sha256_int32_le_rows_of_77"]
