"""The network of the recall experiments: a gated convolution, then the mixer under test; and how it is trained."""

import math
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from experiments import mixers
from experiments.mqar_data import IGNORED, Task, accuracy, sequences

LAYERS = 2
CLIP = 1.0  # of the gradient's norm
WEIGHT_DECAY = 0.1  # of every parameter


def mixer(name, width, length, size=None, dropout=0.0):
    """size: BASED's feature dimension, the keys of a window, the head size of RWKV-6 and 7."""
    makers = {
        "attention": lambda: mixers.Attention(width, length, dropout=dropout),
        "window": lambda: mixers.Attention(width, length, window=size),
        "based": lambda: mixers.Based(width, size),
        "rwkv4": lambda: mixers.RWKV4(width),
        "rwkv6": lambda: mixers.RWKV6(width, size),
        "rwkv7": lambda: mixers.RWKV7(width, size),
    }
    return makers[name]()


class Block(nn.Module):
    """Zoology's, whose second half, "state mixer", is the identity."""

    def __init__(self, width, mixer):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mixer = mixer

    def forward(self, x):
        x = x + self.mixer(self.norm1(x))
        return x + self.norm2(x)


class Recaller(nn.Module):
    """Tokens [B, T] -> hidden [B, T, C]; `logits` is the tied head."""

    def __init__(self, vocab, width, mixer, std, embedding_dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.dropout = nn.Dropout(embedding_dropout)
        self.blocks = nn.Sequential(Block(width, mixers.GatedConvolution(width)), Block(width, mixer))
        self.norm = nn.LayerNorm(width)
        self.initialise(std)

    def initialise(self, std):
        nn.init.normal_(self.embedding.weight, std=std)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std / math.sqrt(2 * LAYERS) if name.endswith("out_proj") else std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens):
        return self.norm(self.blocks(self.dropout(self.embedding(tokens))))

    def logits(self, tokens):
        return self(tokens) @ self.embedding.weight.T

    def loss(self, tokens, labels):
        """Of the queries; the other positions' logits are not computed."""
        scored = labels != IGNORED
        return cross_entropy(self(tokens)[scored] @ self.embedding.weight.T, labels[scored])


@torch.no_grad()
def accuracy_on(model, inputs, labels, batch=250):
    """The mean over all examples."""
    model.eval()
    parts = [(accuracy(model.logits(x), y), len(x)) for x, y in zip(inputs.split(batch), labels.split(batch))]
    model.train()
    return sum(value * count for value, count in parts) / len(inputs)


@dataclass(frozen=True)
class Recipe:
    steps: int
    learning_rate: float
    batch: int = 64
    warmup: int = 50

    def rate(self, step):
        """Linear warm-up, then a cosine to 0 at the end."""
        return min(1, (step + 1) / self.warmup) * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def train_on_fresh_sequences(model, task: Task, recipe: Recipe, generator):
    """-> the last loss and the CPU seconds."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.rate)
    start = time.process_time()
    for _ in range(recipe.steps):
        loss = model.loss(*sequences(task, recipe.batch, generator))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
    return loss.item(), time.process_time() - start
