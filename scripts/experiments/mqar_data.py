"""Multi-query associative recall (Zoology, arXiv 2312.04927): n key-value pairs, then each key again, as a query."""

from dataclasses import asdict, dataclass

import torch

IGNORED = -100  # the label of a position that is not scored


@dataclass(frozen=True)
class Task:
    """Sequences of `length` tokens over `vocab`: keys are below vocab / 2 (0 is none), values from there on."""

    vocab: int
    length: int
    pairs: int
    power: float = 0.01  # of the distribution of the queries: the smaller, the sooner they come
    random_fill: bool = False  # what is neither pair nor query is a random token instead of 0

    def __post_init__(self):
        if self.length % 2 or self.length >= self.vocab or 4 * self.pairs > self.length:
            raise ValueError(f"{asdict(self)}: length must be even, smaller than vocab and at least 4 * pairs")

    @property
    def slots(self):
        """The places for a query: every other position behind the pairs."""
        return self.length // 2 - self.pairs

    def slot_probabilities(self):
        weights = torch.arange(1, self.slots + 1, dtype=torch.float64) ** (self.power - 1)
        return weights / weights.sum()


def distinct(count, low, high, examples, generator):
    """[examples, count] numbers of [low, high), in random order, all different in a row."""
    return low + torch.rand(examples, high - low, generator=generator).topk(count).indices


def sequences(task: Task, examples: int, generator: torch.Generator):
    """Inputs and labels, int64 [examples, length]. A label is the value that belongs at its own position, a query."""
    keys = distinct(task.pairs, 1, task.vocab // 2, examples, generator)
    values = distinct(task.pairs, task.vocab // 2, task.vocab, examples, generator)
    inputs = torch.zeros(examples, task.length, dtype=torch.int64)
    if task.random_fill:
        inputs = torch.randint(task.vocab, inputs.shape, generator=generator)
    prefix = 2 * task.pairs
    inputs[:, :prefix] = torch.stack([keys, values], 2).flatten(1)

    # The largest of log p + Gumbel noise, in falling order, are draws from p without replacement.
    uniform = torch.rand(examples, task.slots, generator=generator, dtype=torch.float64)
    slots = (task.slot_probabilities().log() - (-uniform.log()).log()).topk(task.pairs).indices
    queries = prefix + 2 * slots
    inputs.scatter_(1, queries, keys)
    return inputs, torch.full_like(inputs, IGNORED).scatter_(1, queries, values)


def accuracy(logits, labels):
    """The mean over examples of the share of queries whose largest logit is the value."""
    scored = labels != IGNORED
    right = (logits.argmax(-1) == labels) & scored
    return (right.sum(1) / scored.sum(1)).mean().item()
