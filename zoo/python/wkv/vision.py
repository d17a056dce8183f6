"""Images to tensors, and what is done with the features of models that see: embeddings, zero-shot classes, search."""
import os
from collections.abc import Sequence
from typing import NamedTuple

import torch

from wkv._library import classes, existing
from wkv.models import ClipModel, ImageModel
from wkv.text import Tokenizer


def preprocess(image: str | os.PathLike | bytes, pipeline: str) -> torch.Tensor:
    """A JPEG or PNG file, or its bytes, to float32 [3, H, W] as the published pipeline of a model makes it.

    pipeline: "mm224" (Vision-RWKV T, S, B and VRWKV6), "vl384" (VRWKV-L), "clip224" (RWKV-CLIP); a model's own is
    `model.preprocessing`. Raises ValueError for what is no whole image.
    """
    if isinstance(image, bytes):
        return classes().Vision.preprocess(image, pipeline)
    return classes().Vision.preprocess_file(existing(image), pipeline)


def preprocess_files(
    paths: Sequence[str | os.PathLike], pipeline: str
) -> tuple[list[torch.Tensor | None], dict[str, str]]:
    """Many files on all cores: the images, None where a file gave none, and by its path what is wrong with it."""
    paths = [os.fspath(path) for path in paths]
    images, errors = zip(*classes().Vision.preprocess_files(paths, pipeline)) if paths else ((), ())
    return list(images), {path: error for path, error in zip(paths, errors) if error}


def embed_images(model: ImageModel, images: torch.Tensor) -> torch.Tensor:
    """A vector for each of images [B, 3, H, W]: float32 [B, C], not normalised, without gradients.

    RWKV-CLIP's image features; of other models the last stage's class token, or the mean over its patches.
    """
    return model._handle.embed_images(images)


def embed_texts(model: ClipModel, tokenizer: Tokenizer, texts: Sequence[str]) -> torch.Tensor:
    """A vector for each text: float32 [n, C], not normalised, without gradients."""
    return model._handle.embed_texts(tokenizer._handle, list(texts))


class Embeddings(NamedTuple):
    vectors: torch.Tensor  # float32 [n, C]
    names: list[str]


def save_embeddings(path: str | os.PathLike, vectors: torch.Tensor, names: Sequence[str]) -> None:
    """Writes .safetensors, or .npy with a file of names beside it, as `wkv embed` does."""
    classes().Vision.save_embeddings(os.fspath(path), vectors, list(names))


def load_embeddings(path: str | os.PathLike) -> Embeddings:
    """What `save_embeddings` or `wkv embed` wrote, or a .npy file of others, whose names are the rows' numbers."""
    return Embeddings(*classes().Vision.load_embeddings(existing(path)))


def search(index: torch.Tensor, queries: torch.Tensor, top: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of index [n, C] nearest to each of queries [Q, C]: cosine similarities and rows, [Q, min(top, n)]."""
    return classes().Vision.search(index, queries, top)


def load_labels(labels: str | os.PathLike) -> list[list[str]]:
    """The classes' names, each with its synonyms, of a file, a list "cat,dog" or a published set ("cifar10")."""
    return classes().Vision.load_labels(os.fspath(labels))


def imagenet_labels() -> list[list[str]]:
    """Of ImageNet-1k, in the order of the classifiers' logits."""
    return classes().Vision.imagenet_labels()


def load_templates(templates: str | os.PathLike) -> list[str]:
    """Sentences with {} for a class's name, of a file, a sentence itself, or a published set."""
    return classes().Vision.load_templates(os.fspath(templates))


def templates_of_labels(labels: str | os.PathLike) -> list[str]:
    """The templates that were published with these labels, else "a photo of a {}."."""
    return classes().Vision.templates_of_labels(os.fspath(labels))


def zero_shot_classifier(
    model: ClipModel, tokenizer: Tokenizer, labels: Sequence[str | Sequence[str]], templates: Sequence[str]
) -> torch.Tensor:
    """A classifier [C, classes] made of words: the mean over all templates filled with each of a class's names."""
    labels = [[label] if isinstance(label, str) else list(label) for label in labels]
    return model._handle.zero_shot_classifier(tokenizer._handle, labels, list(templates))


def zero_shot_logits(image_features: torch.Tensor, classifier: torch.Tensor) -> torch.Tensor:
    """100 times the cosine similarities of image features [B, C] with the classes; softmax gives probabilities."""
    return classes().Vision.zero_shot_logits(image_features, classifier)


class ClassificationScore(NamedTuple):
    """Shares, 0 to 1."""

    images: int
    top1: float
    top5: float
    mean_per_class: float


def score_classification(logits: torch.Tensor, targets: torch.Tensor) -> ClassificationScore:
    """How often targets int64 [n] have the largest of logits [n, classes], or one of the five largest."""
    return ClassificationScore(*classes().Vision.score_classification(logits, targets))


class Recall(NamedTuple):
    """Shares, 0 to 1, of the queries with a right answer among the first 1, 5, 10."""

    at1: float
    at5: float
    at10: float


class RetrievalScore(NamedTuple):
    text_to_image: Recall
    image_to_text: Recall


def score_retrieval(images: torch.Tensor, texts: torch.Tensor, image_of_text: torch.Tensor) -> RetrievalScore:
    """Search between images [n, C] and texts [m, C]; image_of_text int64 [m]: the image that a text describes."""
    shares = classes().Vision.score_retrieval(images, texts, image_of_text)
    return RetrievalScore(Recall(*shares[:3]), Recall(*shares[3:]))
