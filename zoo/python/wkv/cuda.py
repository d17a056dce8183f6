"""Decoding on a GPU as one CUDA graph."""
import torch

from wkv.models import Model, State


class DecodeGraph:
    """`model.decode` for `batch` sequences, recorded once: each step is one launch, whatever the number of layers.

        graph = wkv.cuda.DecodeGraph(model, batch=2)
        graph.pool.put([0, 1], state)        # what model.read returned
        logits = graph.step(tokens)          # [2, V], which the next step writes over

    The states stay in `pool`, on the model's device: a row for each sequence, or a pool of more rows, of which
    `slots` names those of the step. Nothing waits for the GPU, and nothing looks at tokens and slots: they have to be
    within the vocabulary and the pool, slots distinct. The parameters are read where they are now: load others by
    copying into them.
    """

    def __init__(self, model: Model, batch: int, pool: State | None = None):
        device = next(iter(model.named_parameters().values())).device
        if device.type != "cuda":
            raise ValueError(f"wkv.cuda.DecodeGraph: the model must be on a GPU, and is on {device}: model.to('cuda')")
        if model.family == "rrwkv":
            raise ValueError("wkv.cuda.DecodeGraph: RRWKV's steps depend on its state, so that none can be recorded")
        self.model = model
        self.pool = model.initial_state(batch) if pool is None else pool
        self._tokens = torch.zeros(batch, dtype=torch.int64, device=device)
        self._slots = torch.arange(batch, device=device)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device):
            # Libraries prepare themselves in their first calls, which can't be recorded.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                model.decode(self._tokens, model.initial_state(self.pool.batch), self._slots)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(self._graph):
                self._logits = model.decode(self._tokens, self.pool, self._slots)

    def step(self, tokens: torch.Tensor, slots: torch.Tensor | None = None) -> torch.Tensor:
        """tokens int64 [batch] -> logits [batch, V], on the current stream.

        slots: int64 [batch], the row of the pool for each token; those of the last call by default, at first 0, 1, ...
        """
        self._tokens.copy_(tokens, non_blocking=True)
        if slots is not None:
            self._slots.copy_(slots, non_blocking=True)
        self._graph.replay()
        return self._logits
