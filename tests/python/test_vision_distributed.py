"""Models that see, in two processes."""
import pytest
import torch
import wkv
from vision_cases import CASES, VisionFixture

PROCESSES, STEPS = 2, 2


def load(f):
    return wkv.nn.Module(f.load(dtype=torch.float64)).train()


def loss(module, f, rows):
    if f.case.family == "rwkv_clip":
        return wkv.contrastive_loss(*module(f["in.image"][rows].double(), f["in.text"][rows]))
    return torch.nn.functional.cross_entropy(module(f["in.x"][rows].double()), f["in.labels"][rows])


def train(module, f, rows):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(module, f, rows).backward()
        optimizer.step()


def train_share(rank, case, folder):
    """In a process of its own: its share of the images."""
    torch.set_num_threads(1)
    (folder / f"{rank}").mkdir()
    f = VisionFixture(CASES[case], folder / f"{rank}")
    store = torch.distributed.FileStore(str(folder / "store"), PROCESSES)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)
    module = load(f)
    train(torch.nn.parallel.DistributedDataParallel(module), f, rows=slice(rank, None, PROCESSES))
    torch.save(module.state_dict(), folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("case", ["vrwkv", "clip"])
def test_two_processes_train_as_one_with_all_images(case, tmp_path):
    f = VisionFixture(CASES[case], tmp_path)
    torch.multiprocessing.spawn(train_share, args=(case, tmp_path), nprocs=PROCESSES)
    module = load(f)
    train(module, f, rows=slice(None))
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(PROCESSES))
    for name, x in module.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], x, rtol=0, atol=1e-12)
    assert any(not torch.equal(f.weights[name].double(), x) for name, x in module.state_dict().items())
