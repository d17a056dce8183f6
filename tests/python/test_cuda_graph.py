"""wkv.cuda.DecodeGraph: its steps are those of Model.decode."""
import pytest
import torch

import wkv

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_a_model_on_the_cpu_is_refused(tiny):
    with pytest.raises(ValueError, match="must be on a GPU, and is on cpu"):
        wkv.cuda.DecodeGraph(tiny.load(), batch=1)


@needs_gpu
@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_a_quantised_model_decodes_as_on_the_cpu(tiny, dtype):
    found, expected = tiny.load(dtype=dtype, device="cuda"), tiny.load(dtype=dtype)
    tokens = torch.tensor([[1, 5, 9]])
    # The CPU rounds activations to 8 bits, the GPU does not.
    torch.testing.assert_close(found(tokens.cuda())[0].cpu(), expected(tokens)[0], rtol=0.1, atol=0.1)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("batch", [1, 3])
def test_steps_are_those_of_decode(fixture, dtype, batch):
    model = fixture.load(device="cuda", dtype=dtype)
    vocabulary = fixture["out.logits"].shape[-1]
    graph = wkv.cuda.DecodeGraph(model, batch)
    pool, slots = model.initial_state(batch), torch.arange(batch, device="cuda")
    for step in range(4):
        tokens = (torch.arange(batch, device="cuda") * 7 + step) % vocabulary
        torch.testing.assert_close(graph.step(tokens), model.decode(tokens, pool, slots), rtol=0, atol=0)
    for name, entry in pool.tensors().items():
        torch.testing.assert_close(graph.pool.tensors()[name], entry, rtol=0, atol=0)


@needs_gpu
def test_a_step_takes_the_slots_that_it_is_given(tiny):
    model = tiny.load(device="cuda")
    graph = wkv.cuda.DecodeGraph(model, 2, pool=model.initial_state(5))
    tokens, slots = torch.tensor([3, 1], device="cuda"), torch.tensor([4, 0], device="cuda")
    logits = graph.step(tokens, slots).clone()
    fresh = model.initial_state(2)
    torch.testing.assert_close(logits, model.decode(tokens, fresh, torch.arange(2, device="cuda")), rtol=0, atol=0)
    for entry in graph.pool.tensors().values():
        assert entry[[1, 2, 3]].count_nonzero() == 0


@needs_gpu
def test_prompts_and_steps_on_the_gpu_are_those_of_the_cpu(fixture):
    on_cpu, on_gpu = fixture.load(), fixture.load(device="cuda")
    vocabulary = fixture["out.logits"].shape[-1]
    prompt, token = torch.arange(20).remainder(vocabulary).view(2, 10), torch.tensor([1, 2])
    (expected, state), (logits, gpu_state) = on_cpu.read(prompt), on_gpu.read(prompt.cuda())
    torch.testing.assert_close(logits.cpu(), expected, rtol=1e-4, atol=1e-4)
    graph = wkv.cuda.DecodeGraph(on_gpu, 2)
    graph.pool.put([0, 1], gpu_state)
    pool = state.clone()
    expected = on_cpu.decode(token, pool, torch.arange(2))
    torch.testing.assert_close(graph.step(token).cpu(), expected, rtol=1e-4, atol=1e-4)
