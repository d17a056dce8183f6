"""Models that see, in two processes."""
import pytest
import torch
import wkv
from vision_cases import CASES, VisionFixture

PROCESSES, STEPS = 2, 2


def forward(module, f, rows):
    inputs = [f["in.x"]] if f.case.family == "vrwkv" else [f["in.image"], f["in.text"]]
    outputs = module(*(x[rows].double() if x.is_floating_point() else x[rows] for x in inputs))
    return outputs if isinstance(outputs, tuple) else (outputs,)


def train(module, f, rows, parallel=None):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        sum(x.square().mean() for x in forward(parallel or module, f, rows)).backward()
        optimizer.step()
    return module.state_dict()


def train_share(rank, case, folder):
    """In a process of its own: its share of the images."""
    torch.set_num_threads(1)
    (folder / f"{rank}").mkdir()
    f = VisionFixture(CASES[case], folder / f"{rank}")
    store = torch.distributed.FileStore(str(folder / "store"), PROCESSES)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)
    module = wkv.nn.Module(f.load(dtype=torch.float64)).train()
    rows = slice(rank, None, PROCESSES)
    torch.save(train(module, f, rows, torch.nn.parallel.DistributedDataParallel(module)), folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("case", ["vrwkv", "clip"])
def test_two_processes_train_as_one_with_all_images(case, tmp_path):
    f = VisionFixture(CASES[case], tmp_path)
    torch.multiprocessing.spawn(train_share, args=(case, tmp_path), nprocs=PROCESSES)
    expected = train(wkv.nn.Module(f.load(dtype=torch.float64)).train(), f, slice(None))
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(PROCESSES))
    for name, x in expected.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], x, rtol=0, atol=1e-12)
    assert any(not torch.equal(f.weights[name].double(), x) for name, x in expected.items())
