"""A loaded model as a torch.nn.Module."""
import torch

from wkv.models import Model


class Module(torch.nn.Module):
    """Owns the very tensors that the model computes with: what an optimizer, load_state_dict or .to changes, changes
    the model. state_dict() has the published names.

    `model` is the model itself, for what is not forward: module.model.features(images).

    DistributedDataParallel needs find_unused_parameters=True where a family has parameters that nothing reads (RWKV-7:
    blocks.0.att.v0, v1, v2). A module can't be copied or pickled: save its state_dict(). What puts other tensors in the
    parameters' places (FSDP, fully_shard, torch.func.functional_call) doesn't reach the model: forward and loss raise.
    """

    def __init__(self, model: Model):
        super().__init__()
        for name, parameter in model.named_parameters().items():
            parameter._is_param = True  # torch.nn.Parameter by PyTorch's own test, without a second tensor
            owner, leaf = self._owner(name)
            owner.register_parameter(leaf, parameter)
        self._own = [(*self._owner(name), parameter) for name, parameter in model.named_parameters().items()]
        for name, buffer in model.named_buffers().items():
            owner, leaf = self._owner(name)
            owner.register_buffer(leaf, buffer)
        self.model = model
        self.train(model.training)

    def forward(self, *inputs, **options):
        """As the model."""
        self._require_own_parameters()
        return self.model(*inputs, **options)

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor, **options) -> torch.Tensor:
        """As a language model's: options are logit_penalty, attention_mask, cu_seqlens."""
        self._require_own_parameters()
        return self.model.loss(tokens, targets, **options)

    def train(self, mode: bool = True) -> "Module":
        self.model.train(mode)
        return super().train(mode)

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        if assign:
            raise ValueError("wkv.nn.Module: load_state_dict(assign=True) would leave the model its old parameters")
        return super().load_state_dict(state_dict, strict)

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        for name, buffer in self.model.named_buffers().items():  # which PyTorch has replaced
            owner, leaf = self._owner(name)
            buffer.data = owner._buffers[leaf]
            owner._buffers[leaf] = buffer
        live = self.model.named_parameters() | self.model.named_buffers()
        if any(live[name] is not tensor for name, tensor in self.state_dict(keep_vars=True).items()):
            raise RuntimeError("wkv.nn.Module: PyTorch replaced parameters instead of changing them in place")
        return self

    def _require_own_parameters(self):
        if any(owner._parameters.get(leaf) is not parameter for owner, leaf, parameter in self._own):
            raise RuntimeError(
                "wkv.nn.Module: its parameters were replaced, as FSDP does, and the model computes with its own: use "
                "DistributedDataParallel with ZeroRedundancyOptimizer, or `wkv train`"
            )

    def _owner(self, name: str) -> tuple[torch.nn.Module, str]:
        """The nested container of a name with dots, made where it is missing, and the name's last part."""
        *path, leaf = name.split(".")
        owner: torch.nn.Module = self
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, torch.nn.Module())
            owner = owner._modules[part]
        return owner, leaf
