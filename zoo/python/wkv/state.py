"""What a language model knows after some tokens."""
import os
from collections.abc import Sequence
from operator import index

import torch

from wkv._library import classes, existing


class State:
    """What a language model knows after some tokens: a value, constant in size, one row a sequence.

    No operation changes a state, so that it can be kept, cut, joined and resumed; only a pool of sequences that are
    decoded together is written in place, by `Model.decode` and `put`.
    """

    def __init__(self, handle: torch.ScriptObject):
        self._handle = handle

    def __repr__(self) -> str:
        return f"wkv.State({self.batch} x {len(self.tensors())} tensors)"

    @property
    def batch(self) -> int:
        """The number of sequences."""
        return self._handle.batch()

    def tensors(self) -> dict[str, torch.Tensor]:
        """The entries by name, in the model's order, each [batch, ...]."""
        return self._handle.tensors()

    def select(self, rows: Sequence[int]) -> "State":
        """The rows of these indices, in this order; an index may repeat."""
        return State(self._handle.select([index(row) for row in rows]))

    def clone(self) -> "State":
        return State(self._handle.clone())

    def detach(self) -> "State":
        return State(self._handle.detach())

    def to(self, device: str | torch.device) -> "State":
        return State(self._handle.to(torch.device(device)))

    def put(self, rows: Sequence[int], state: "State") -> None:
        """Writes the rows of another state over these rows of this one, in place: sequences enter a pool."""
        self._handle.put([index(row) for row in rows], state._handle)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a .safetensors file, whole or not at all."""
        self._handle.save(os.fspath(path))

    @staticmethod
    def load(path: str | os.PathLike) -> "State":
        """What `save` wrote, on the CPU."""
        return State(classes().State.load(existing(path)))

    @staticmethod
    def cat(states: Sequence["State"]) -> "State":
        """The rows of several states as one."""
        return State(classes().State.cat([state._handle for state in states]))
