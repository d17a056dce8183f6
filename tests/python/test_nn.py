"""A loaded model as a torch.nn.Module that owns the live parameters."""
import copy
import pickle

import pytest
import torch
import wkv


@pytest.fixture
def module(tiny):
    return wkv.nn.Module(tiny.load())


def test_names_are_the_published_ones(module, tiny):
    assert isinstance(module, torch.nn.Module)
    assert module.state_dict().keys() == tiny.weights.keys() == dict(module.named_parameters()).keys()
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, tiny.weights[name].view_as(tensor))


def test_parameters_are_the_models_own_tensors(tiny):
    model = tiny.load()
    module = wkv.nn.Module(model)
    live = model.named_parameters()
    for name, parameter in module.named_parameters():
        assert isinstance(parameter, torch.nn.Parameter) and parameter is live[name]


def test_forward_and_loss_are_the_models(module, tiny):
    model = tiny.load()
    logits, state = module(tiny["in.idx"])
    assert torch.equal(logits, model(tiny["in.idx"])[0]) and isinstance(state, wkv.State)
    assert torch.equal(module.loss(tiny["in.idx"], tiny["in.target"]), model.loss(tiny["in.idx"], tiny["in.target"]))


def test_a_few_steps_of_adamw_lower_the_loss(module, tiny):
    optimizer = torch.optim.AdamW(module.train().parameters(), lr=1e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = module.loss(tiny["in.idx"], tiny["in.target"])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert sorted(losses, reverse=True) == losses


def test_train_and_eval_reach_the_model(tiny):
    model = tiny.load()
    module = wkv.nn.Module(model)
    assert not module.training
    assert module.train().training and model.training
    assert not module.eval().training and not model.training


def test_to_changes_the_model(tiny):
    model = tiny.load()
    module = wkv.nn.Module(model).to(torch.bfloat16)
    parameters = [*model.named_parameters().values(), *module.parameters()]
    assert {parameter.dtype for parameter in parameters} == {torch.bfloat16}
    assert torch.equal(module(tiny["in.idx"])[0], tiny.load(dtype=torch.bfloat16)(tiny["in.idx"])[0])


def test_gradients_follow_to(module, tiny):
    module.loss(tiny["in.idx"], tiny["in.target"]).backward()
    module.double()
    assert {p.grad.dtype for p in module.parameters() if p.grad is not None} == {torch.float64}


def test_load_state_dict_changes_the_model(tiny):
    model = tiny.load()
    module = wkv.nn.Module(model)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in module.state_dict().items()}
    assert str(module.load_state_dict(zeros)) == "<All keys matched successfully>"
    assert not any(parameter.any() for parameter in model.named_parameters().values())


def test_load_state_dict_does_not_replace_parameters(module):
    with pytest.raises(ValueError, match="assign"):
        module.load_state_dict(module.state_dict(), assign=True)


def test_a_conversion_that_replaces_parameters_is_refused(module):
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with pytest.raises(RuntimeError, match="replaced"):
            module.double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


@pytest.mark.parametrize("copying", [copy.deepcopy, pickle.dumps])
def test_copies_are_refused(module, copying):
    with pytest.raises(TypeError, match="state_dict"):
        copying(module)


def test_a_state_dict_can_be_saved_and_loaded_as_a_checkpoint(module, tiny, tmp_path):
    torch.save(module.state_dict(), tmp_path / "m.pth")
    assert torch.equal(wkv.load(tmp_path / "m.pth")(tiny["in.idx"])[0], module(tiny["in.idx"])[0])


def test_distributed_data_parallel(module, tiny, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)
        for _ in range(2):
            parallel.zero_grad()
            logits, _ = parallel(tiny["in.idx"])
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), tiny["in.target"].flatten()).backward()
    finally:
        torch.distributed.destroy_process_group()
    gradients = {name: p.grad for name, p in module.named_parameters()}
    for name, expected in tiny.part("grad.").items():
        torch.testing.assert_close(gradients[name].view_as(expected), expected, rtol=1e-3, atol=1e-6)


def test_clipping_and_freezing(module, tiny):
    module.requires_grad_(False)
    module.head.weight.requires_grad_(True)
    module.loss(tiny["in.idx"], tiny["in.target"]).backward()
    assert [name for name, p in module.named_parameters() if p.grad is not None] == ["head.weight"]
    torch.nn.utils.clip_grad_norm_(module.parameters(), 0.1)
    assert module.head.weight.grad.norm() <= 0.1001
