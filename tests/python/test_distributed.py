"""A model in PyTorch's training machinery: several processes, activation checkpointing, autocast."""
import pytest
import torch
import wkv
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.utils.checkpoint import checkpoint

PROCESSES, ROWS = 2, 4


TEXT = b"In the beginning God created the heaven and the earth. And the earth was without form, and void;"


def batch():
    tokens = torch.tensor(list(TEXT[: 24 * ROWS])).view(ROWS, 24)
    return tokens[:, :-1], tokens[:, 1:]


def load(dtype=torch.float64):
    return wkv.nn.Module(wkv.load("embedded", dtype=dtype)).train()


def loss(module, tokens, targets):
    logits, _ = module(tokens)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def train_one_step(rank, folder):
    """In a process of its own: its share of the batch, twice, so that the second step begins where the first ended."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", PROCESSES)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)
    module = load()
    parallel = torch.nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)
    rows = slice(rank * ROWS // PROCESSES, (rank + 1) * ROWS // PROCESSES)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss(parallel, *(x[rows] for x in batch())).backward()
        optimizer.step()
    torch.save(module.state_dict(), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_train_as_one_with_the_whole_batch(tmp_path):
    torch.multiprocessing.spawn(train_one_step, args=(str(tmp_path),), nprocs=PROCESSES)
    module = load()
    before = {name: x.clone() for name, x in module.state_dict().items()}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss(module, *batch()).backward()
        optimizer.step()
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(PROCESSES))
    for name, expected in module.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], expected, rtol=0, atol=1e-12)
    assert any(not torch.equal(before[name], x) for name, x in first.items())


def try_sharding(rank, folder):
    """In a process of its own: two steps of AdamW with its moments divided, and what PyTorch's sharded modules say."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", PROCESSES)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)
    module = load()
    parallel = torch.nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)
    optimizer = ZeroRedundancyOptimizer(module.parameters(), torch.optim.AdamW, lr=1e-3)
    rows = slice(rank * ROWS // PROCESSES, (rank + 1) * ROWS // PROCESSES)
    for _ in range(2):
        optimizer.zero_grad()
        loss(parallel, *(x[rows] for x in batch())).backward()
        optimizer.step()
    found = {"state_dict": module.state_dict(), "moments": sum(map(len, optimizer.optim.state.values()))}
    for name, shard in {
        "fully_shard": lambda x: fully_shard(x, mesh=init_device_mesh("cpu", (PROCESSES,))),
        "FSDP": lambda x: FullyShardedDataParallel(x, use_orig_params=True, device_id=torch.device("cpu")),
    }.items():
        sharded = shard(load())
        with pytest.raises(RuntimeError) as raised:
            sharded(batch()[0])
        found[name] = str(raised.value)
    torch.save(found, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def sharding(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharding")
    torch.multiprocessing.spawn(try_sharding, args=(str(folder),), nprocs=PROCESSES)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(PROCESSES)]


def test_an_optimizer_whose_moments_are_divided_trains_as_a_whole_one(sharding):
    module = load()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        loss(module, *batch()).backward()
        optimizer.step()
    for name, expected in module.state_dict().items():
        torch.testing.assert_close(sharding[0]["state_dict"][name], expected, rtol=0, atol=1e-8)
    whole = sum(map(len, optimizer.state.values()))
    assert all(0 < rank["moments"] < whole for rank in sharding)


@pytest.mark.parametrize("wrapper", ["fully_shard", "FSDP"])
def test_what_replaces_the_parameters_is_refused(sharding, wrapper):
    assert all("its parameters were replaced" in rank[wrapper] for rank in sharding)


def test_checkpointing_changes_no_gradient():
    module = load()
    loss(module, *batch()).backward()
    expected = gradients(module)
    module.zero_grad()
    tokens, targets = batch()
    logits = checkpoint(lambda x: module(x)[0], tokens, use_reentrant=False)
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    found = gradients(module)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], x) for name, x in expected.items())


def test_autocast_computes_in_bfloat16_with_gradients_in_float32():
    module, exact = load(torch.float32), load()
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(module, *batch())
    found.backward()
    expected = loss(exact, *batch())
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=2e-2)
    assert {p.dtype for p in gradients(module).values()} == {torch.float32}
    wanted = gradients(exact)
    a, b = (torch.cat([x[name].double().flatten() for name in wanted]) for x in (gradients(module), wanted))
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.99
