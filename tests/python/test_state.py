"""A state is a value: it can be kept, cut, joined, saved and resumed."""
import copy
import pickle

import pytest
import torch
import wkv


def same(a, b):
    a, b = a.tensors(), b.tensors()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


@pytest.fixture
def state(tiny):
    return tiny.load()(tiny["in.idx"])[1].detach()


def test_it_has_a_row_for_each_sequence(state):
    assert state.batch == 2 and "2 x 9 tensors" in repr(state)
    assert all(tensor.shape[0] == 2 for tensor in state.tensors().values())


def test_save_and_load(state, tmp_path):
    state.save(tmp_path / "s.safetensors")
    assert same(wkv.State.load(tmp_path / "s.safetensors"), state)


def test_a_saved_state_resumes(tiny, tmp_path):
    model, tokens = tiny.load(), tiny["in.idx"]
    whole, _ = model(tokens)
    _, state = model(tokens[:, :10])
    state.save(tmp_path / "s")
    rest, _ = model(tokens[:, 10:], wkv.State.load(tmp_path / "s"))
    torch.testing.assert_close(rest, whole[:, 10:], rtol=0, atol=2e-5)


@pytest.mark.parametrize("rows", [[1], [1, 0], [0, 0, 1], [], torch.tensor([1, 1])], ids=str)
def test_select(state, rows):
    for name, tensor in state.select(rows).tensors().items():
        assert torch.equal(tensor, state.tensors()[name][torch.as_tensor(rows, dtype=torch.int64)])


def test_cat_joins_what_select_cut(state):
    assert same(wkv.State.cat([state.select([0]), state.select([1])]), state)


def test_selected_rows_go_on_alone(tiny):
    model, tokens = tiny.load(), tiny["in.idx"]
    _, state = model(tokens[:, :10])
    both, _ = model(tokens[:, 10:], state)
    second, _ = model(tokens[1:, 10:], state.select([1]))
    torch.testing.assert_close(second, both[1:], rtol=0, atol=2e-5)


def test_a_step_leaves_the_old_state_as_it_was(tiny, state):
    kept = state.clone()
    tiny.load()(tiny["in.idx"], state)
    assert same(state, kept)


def test_gradients_flow_through_a_state_until_it_is_detached(tiny):
    _, state = tiny.load()(tiny["in.idx"])
    assert state.tensors()["wkv0"].requires_grad
    assert not any(tensor.requires_grad for tensor in state.detach().tensors().values())


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda state: pickle.loads(pickle.dumps(state)),
    "clone": wkv.State.clone,
    "to": lambda state: state.to("cpu"),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies(state, name):
    assert same(COPIES[name](state), state)


def test_a_clone_has_its_own_memory(state):
    assert state.clone().tensors()["wkv0"].data_ptr() != state.tensors()["wkv0"].data_ptr()


def test_errors_are_clear(state, tiny, tmp_path):
    with pytest.raises(ValueError, match="row 2 is out of range"):
        state.select([2])
    with pytest.raises(FileNotFoundError):
        wkv.State.load(tmp_path / "missing")
    with pytest.raises(RuntimeError, match="not a saved state"):
        wkv.State.load(tiny.path)
    with pytest.raises(RuntimeError):
        state.save(tmp_path / "no-such-folder/s")
