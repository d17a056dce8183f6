"""The contrastive loss over three processes: together they have the loss and the gradients of one that has all pairs."""
import pytest
import torch
import wkv
from conftest import golden
from safetensors.torch import load_file

PROCESSES = 3


def inputs(rows=slice(None)):
    fixture = load_file(golden("rwkv_clip/loss_distributed.safetensors"))
    features = [fixture[f"in.{name}_features"][rows].clone().requires_grad_() for name in ("image", "text")]
    return *features, fixture["in.log_scale"].clone().requires_grad_()


def loss_and_gradients(inputs, group=None):
    image, text, log_scale = inputs
    loss = wkv.contrastive_loss(image, text, log_scale.exp(), group)
    loss.backward()
    return {"loss": loss.detach(), "grad.image": image.grad, "grad.text": text.grad, "grad.log_scale": log_scale.grad}


def share(rank, folder):
    """In a process of its own: with four of the pairs, then of pairs of the last two processes by themselves."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", PROCESSES)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=PROCESSES)
    group = torch.distributed.new_group([1, 2])
    rows = slice(4 * rank, 4 * rank + 4)
    found = {"all": loss_and_gradients(inputs(rows))}
    if rank > 0:
        found["two"] = loss_and_gradients(inputs(rows), group)
    torch.save(found, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def shares(tmp_path_factory):
    golden("rwkv_clip/loss_distributed.safetensors")
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(share, args=(str(folder),), nprocs=PROCESSES)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(PROCESSES)]


def averaged(shares):
    """As DistributedDataParallel does it: each row's gradient is that of one process alone, the scale's of all."""
    size = len(shares)
    rows = {name: torch.cat([s[name] for s in shares]) / size for name in ("grad.image", "grad.text")}
    return rows | {name: sum(s[name] for s in shares) / size for name in ("loss", "grad.log_scale")}


def assert_close(found, expected):
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.to(found[name].dtype), rtol=1e-5, atol=1e-6, msg=name)


def test_the_processes_average_is_the_loss_of_one_with_all_pairs(shares):
    fixture = load_file(golden("rwkv_clip/loss_distributed.safetensors"))
    found = averaged([s["all"] for s in shares])
    assert_close(found, {name: fixture[f"single.{name}"] for name in found})


def test_each_process_has_the_published_share(shares):
    fixture = load_file(golden("rwkv_clip/loss_distributed.safetensors"))
    for rank, found in enumerate(s["all"] for s in shares):
        rows = slice(4 * rank, 4 * rank + 4)
        expected = {name: fixture[f"local_gather_with_grad.{name}"] for name in found}
        assert_close(found, {name: x[rows] if x.dim() == 2 else x[rank] for name, x in expected.items()})


def test_a_group_leaves_the_other_processes_out(shares):
    assert_close(averaged([s["two"] for s in shares[1:]]), loss_and_gradients(inputs(slice(4, 12))))


def test_one_process_needs_no_group():
    fixture = load_file(golden("rwkv_clip/loss_distributed.safetensors"))
    found = loss_and_gradients(inputs())
    assert_close(found, {name: fixture[f"single.{name}"] for name in found})


def test_features_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"got Float \[3, 5\] and Float \[2, 5\]"):
        wkv.contrastive_loss(torch.ones(3, 5), torch.ones(2, 5), torch.tensor(1.0))
