"""Models of every family: thin wrappers of the C++ objects."""
import json
import os

import torch

from wkv._download import download
from wkv._library import classes, existing
from wkv.state import State


class Model:
    """What every loaded model has. `wkv.nn.Module(model)` makes a torch.nn.Module of it."""

    def __init__(self, handle: torch.ScriptObject):
        self._handle = handle

    def __repr__(self) -> str:
        return f"wkv.{type(self).__name__}({self.family}, {self.config})"

    def __reduce_ex__(self, protocol):
        raise TypeError("a wkv.Model can't be copied or pickled: keep its state_dict(), or load its file again")

    @property
    def family(self) -> str:
        """The architecture: "rwkv7", ..."""
        return self._handle.family()

    @property
    def config(self) -> dict:
        """The sizes and options, under the keys of upstream's configurations."""
        return json.loads(self._handle.config_json())

    @property
    def tokenizer(self) -> str:
        """The tokenizer that goes with it, for `wkv.tokenizer`: a name, or a path in its folder; "" where none is known."""
        return self._handle.tokenizer()

    @property
    def training(self) -> bool:
        return self._handle.is_training()

    def named_parameters(self) -> dict[str, torch.Tensor]:
        """The live leaves: an optimizer can step them, and their .grad fills."""
        return self._handle.parameters()

    def named_buffers(self) -> dict[str, torch.Tensor]:
        return self._handle.buffers()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers under the published names, detached; they share the model's memory."""
        tensors = {**self.named_parameters(), **self.named_buffers()}
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def train(self, mode: bool = True) -> "Model":
        self._handle.train(mode)
        return self

    def eval(self) -> "Model":
        return self.train(False)

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "Model":
        """Moves the parameters in place."""
        self._handle.to(None if device is None else torch.device(device), dtype)
        return self


class LanguageModel(Model):
    """Tokens to logits, with a state that carries on."""

    def __call__(
        self,
        tokens: torch.Tensor,
        state: State | None = None,
        *,
        attention_mask: torch.Tensor | None = None,
        cu_seqlens: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """tokens int64 [B, T] -> logits [B, T, V] and the state after the last token.

        state: what an earlier call returned. Cutting a sequence anywhere changes nothing but rounding.
        attention_mask: bool or integer [B, T], for rows of different lengths: padding, on either side, has 0 and is not
        read; its logits mean nothing.
        cu_seqlens: int32 or int64 [S + 1], from 0 to T: tokens [1, T] are S sequences, one after another, and the state
        has S rows. Both give the numbers of the sequences one by one.
        """
        logits, next_state = self._handle.forward(tokens, _handle_of(state), attention_mask, cu_seqlens)
        return logits, State(next_state)

    def loss(
        self,
        tokens: torch.Tensor,
        targets: torch.Tensor,
        *,
        logit_penalty: float | None = None,
        attention_mask: torch.Tensor | None = None,
        cu_seqlens: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean cross-entropy of targets [B, T] given tokens [B, T], where the mask is not 0 and the target not -100.

        The logit penalty, a factor, only adds to the gradient; None: what the family's published training uses.
        """
        return self._handle.loss(tokens, targets, logit_penalty, attention_mask, cu_seqlens)

    def read(
        self,
        tokens: torch.Tensor,
        state: State | None = None,
        *,
        attention_mask: torch.Tensor | None = None,
        block: int = 512,
    ) -> tuple[torch.Tensor, State]:
        """Prompts of any length in bounded memory: the logits [B, V] after each row's last token, and the state.

        Reads `block` positions at a time, without gradients.
        """
        logits, next_state = self._handle.read(tokens, _handle_of(state), attention_mask, block)
        return logits, State(next_state)

    def decode(self, tokens: torch.Tensor, pool: State, slots: torch.Tensor) -> torch.Tensor:
        """One more token for some of many sequences: tokens int64 [B] -> logits [B, V].

        pool: a state whose rows are slots (`model.initial_state(slots)`); tokens[i] goes to row slots[i], distinct, which
        is read and written in place. A sequence enters with `pool.put([slot], state)`. On a GPU nobody looks at tokens
        and slots that lie there, and only RRWKV waits for it; see `wkv.cuda.DecodeGraph`.
        """
        return self._handle.decode(tokens, pool._handle, slots)

    def initial_state(self, batch: int) -> State:
        """The state before the first token, which `state=None` stands for."""
        return State(self._handle.initial_state(batch))


class ImageModel(Model):
    """Reads images [B, 3, H, W], normalised as `wkv.preprocess(file, model.preprocessing)` does."""

    @property
    def preprocessing(self) -> str:
        """The published pipeline for this model's images: "mm224", ..."""
        return self._handle.preprocessing()


class VisionModel(ImageModel):
    """An image classifier, a backbone without a head, or a model that classifies each pixel; any H and W."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """The logits: [B, classes], of a segmenter [B, classes, H, W]. A backbone without a head raises ValueError."""
        return self._handle.image_logits(images)

    def features(self, images: torch.Tensor) -> list[torch.Tensor | tuple[torch.Tensor, torch.Tensor]]:
        """The maps [B, C, h, w] of the stages in out_indices, or an adapter's four at the strides 4, 8, 16, 32.

        With output_cls_token each is a pair: the map, and the class token [B, C].
        """
        maps = self._handle.image_features(images)
        return [patches if token is None else (patches, token) for patches, token in maps]


class ClipModel(ImageModel):
    """RWKV-CLIP: images and texts in one space.

    Texts are int64 [B, T], rows as `tokenizer.encode(text, context_length=77)` makes them, the padding included.
    """

    def __call__(self, images: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image features [B, C] and text features [B, C], neither normalised, and the scale of the logits, 0-d."""
        return self._handle.both_towers(images, tokens)

    def encode_image(self, images: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        return self._handle.encode_image(images, normalize)

    def encode_text(self, tokens: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        return self._handle.encode_text(tokens, normalize)


def _handle_of(state: State | None):
    return None if state is None else state._handle


_KINDS = {"language": LanguageModel, "vision": VisionModel, "clip": ClipModel}


def list_models(pattern: str = "*") -> list[dict]:
    """The cards of the models whose name, or an alias, matches the pattern (`*` and `?`), by name.

    A card has "name", "family", "parameters", "figures", "verified", ...: docs/adding.md says what each key means.
    """
    return [json.loads(card) for card in classes().Catalogue.list_models(pattern)]


def load(
    path_or_name: str | os.PathLike,
    *,
    config: dict | str | os.PathLike | None = None,
    family: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
) -> Model:
    """Opens a checkpoint (.pth, .pt, .bin, .safetensors, or a folder with config.json and weights), in eval mode.

    path_or_name: a name of the catalogue is fetched where it is not in the hub's cache, and configured by its card;
    "embedded" is the small byte-level model that the library carries with it.
    config: what shapes alone can't tell, under upstream's keys, as a dict or the path of a JSON file.
    family: the architecture, told from the tensors' names by default.
    dtype: of the parameters; by default float32, except that a float64 file stays float64. "int8" and "int4" quantise
    the matrices, for inference on the CPU; a file that `wkv convert --dtype int8` wrote stays quantised by default.
    """
    if config is None:
        config = ""
    elif isinstance(config, dict):
        config = json.dumps(config)
    else:
        config = existing(config)
    path_or_name = os.fspath(path_or_name)
    if not os.path.exists(path_or_name):
        download(path_or_name)
    quantize = dtype if isinstance(dtype, str) else ""
    handle = classes().Model.load(path_or_name, config, family or "", None if quantize else dtype, quantize)
    return _KINDS[handle.kind()](handle).to(device)
