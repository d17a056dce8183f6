"""Text to tokens and back, and text from a language model."""
import os
from collections.abc import Iterator, Sequence
from operator import index

import torch

from wkv._library import classes
from wkv.models import Model, State


class Tokenizer:
    def __init__(self, handle: torch.ScriptObject):
        self._handle = handle

    def __repr__(self) -> str:
        return f"wkv.Tokenizer({self.name}, {self.vocab_size} tokens)"

    @property
    def name(self) -> str:
        return self._handle.name()

    @property
    def vocab_size(self) -> int:
        """One more than the largest token."""
        return self._handle.vocab_size()

    def encode(self, text: str | bytes, context_length: int | None = None) -> list[int]:
        """Adds no special tokens; with a context_length, which is for clip, a row of so many: start, text, end, zeros."""
        if context_length is None:
            return self._handle.encode(text)
        return self._handle.encode_row(text, context_length)

    def decode(self, tokens: Sequence[int]) -> bytes:
        """Any tokens: their bytes need not be whole characters."""
        return bytes(self._handle.decode([index(token) for token in tokens]).tolist())


def tokenizer(name_or_path: str | os.PathLike) -> Tokenizer:
    """By name ("world", "gpt-neox-20b", "gpt2", "clip", "bytes") or by the path of such a file."""
    return Tokenizer(classes().Tokenizer.load(os.fspath(name_or_path)))


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prompt: str | bytes,
    *,
    max_tokens: int = 256,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    state: State | None = None,
    stream: bool = False,
) -> str | Iterator[str]:
    """Continues the prompt, and returns the new text; with stream=True an iterator over its pieces as they come.

    temperature 0 takes the most probable token, top_p and top_k keep the most probable ones (1.0 and 0: all).
    stop: the text ends before the first of these. state: of what was read before the prompt.
    """
    generator = classes().Generator.start(
        model._handle,
        tokenizer._handle,
        prompt,
        max_tokens,
        temperature,
        top_p,
        top_k,
        seed,
        _stops(stop),
        None if state is None else state._handle,
    )
    pieces = iter(generator.next, None)
    return pieces if stream else "".join(pieces)


def generate_batch(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str | bytes],
    *,
    width: int = 8,
    max_tokens: int = 256,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
) -> list[str]:
    """Continues many prompts, `width` of them decoding together; the next one takes the place of each that ends.

    The texts are, but for rounding, those of `generate` one by one, the first with this seed and each further one with
    the next number.
    """
    return classes().Generator.batch(
        model._handle,
        tokenizer._handle,
        list(prompts),
        width,
        max_tokens,
        temperature,
        top_p,
        top_k,
        seed,
        _stops(stop),
    )


def _stops(stop: str | Sequence[str] | None) -> list[str]:
    return [stop] if isinstance(stop, str) else list(stop or [])
