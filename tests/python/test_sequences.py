"""Batches of sequences: padded, packed, in blocks, in the slots of a pool. Each gives the numbers of one sequence alone."""
import pytest
import torch
import wkv


@pytest.fixture(scope="module")
def model():
    return wkv.load("embedded", dtype=torch.float64)


LENGTHS = [7, 1, 12]


@pytest.fixture(scope="module")
def sequences():
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(256, (1, length), generator=generator) for length in LENGTHS]


def padded(sequences, side):
    longest = max(LENGTHS)
    rows = torch.zeros(len(LENGTHS), longest, dtype=torch.int64)
    mask = torch.zeros_like(rows, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        length = sequence.shape[1]
        where = slice(longest - length, longest) if side == "left" else slice(0, length)
        rows[row, where], mask[row, where] = sequence[0], True
    return rows, mask


def same_state(state, row, other):
    for name, tensor in other.tensors().items():
        torch.testing.assert_close(state.select([row]).tensors()[name], tensor, rtol=0, atol=1e-10)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_padded_rows(model, sequences, side, dtype):
    rows, mask = padded(sequences, side)
    logits, state = model(rows, attention_mask=mask.to(dtype))
    for row, sequence in enumerate(sequences):
        alone, alone_state = model(sequence)
        torch.testing.assert_close(logits[row][mask[row]], alone[0], rtol=0, atol=1e-10)
        same_state(state, row, alone_state)


def test_packed_sequences(model, sequences):
    ends = torch.tensor([0, *LENGTHS]).cumsum(0)
    logits, state = model(torch.cat(sequences, 1), cu_seqlens=ends.int())
    for row, sequence in enumerate(sequences):
        alone, alone_state = model(sequence)
        torch.testing.assert_close(logits[:, ends[row] : ends[row + 1]], alone, rtol=0, atol=1e-10)
        same_state(state, row, alone_state)


def test_gradients_of_padded_and_packed_batches_are_the_same(sequences):
    model = wkv.load("embedded", dtype=torch.float64)
    rows, mask = padded(sequences, "left")
    ends = torch.tensor([0, *LENGTHS]).cumsum(0)
    packed = torch.cat(sequences, 1)
    parameters = list(model.named_parameters().values())
    losses = model.loss(rows, rows, attention_mask=mask), model.loss(packed, packed, cu_seqlens=ends)
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-12)
    gradients = [torch.autograd.grad(loss, parameters, allow_unused=True) for loss in losses]
    for left, right in zip(*gradients):
        assert (left is None) == (right is None)
        if left is not None:
            torch.testing.assert_close(left, right, rtol=0, atol=1e-10)


@pytest.mark.parametrize("block", [1, 5, 256])
def test_prompts_in_blocks(model, sequences, block):
    rows, mask = padded(sequences, "left")
    logits, state = model.read(rows, attention_mask=mask, block=block)
    assert not logits.requires_grad
    for row, sequence in enumerate(sequences):
        alone, alone_state = model(sequence)
        torch.testing.assert_close(logits[row], alone[0, -1], rtol=0, atol=1e-10)
        same_state(state, row, alone_state)


def test_sequences_decode_in_the_slots_of_a_pool(model, sequences):
    pool = model.initial_state(4)
    pool.put([3, 1], wkv.State.cat([model(sequences[0])[1], model(sequences[1])[1]]))
    logits = model.decode(torch.tensor([65, 66]), pool, torch.tensor([3, 1]))
    for i, (sequence, token) in enumerate(zip(sequences, [65, 66])):
        alone, alone_state = model(torch.cat([sequence, torch.tensor([[token]])], 1))
        torch.testing.assert_close(logits[i], alone[0, -1], rtol=0, atol=1e-10)
        same_state(pool, [3, 1][i], alone_state)
    same_state(pool, 0, model.initial_state(1))


@pytest.mark.parametrize("call, message", [
    (lambda m, t: m(t, attention_mask=torch.ones(1, 3)), "attention_mask"),
    (lambda m, t: m(t, cu_seqlens=torch.tensor([0, 99])), "cu_seqlens"),
    (lambda m, t: m(t, attention_mask=torch.ones_like(t), cu_seqlens=torch.tensor([0, 7])), "exclude each other"),
    (lambda m, t: m.read(t, block=0), "block"),
    (lambda m, t: m.decode(t[0, :2], m.initial_state(2), torch.tensor([1, 1])), "slots"),
    (lambda m, t: m.decode(t[0, :1], m.initial_state(2), torch.tensor([2])), "slots"),
    (lambda m, t: m.initial_state(2).put([0, 0], m.initial_state(2)), "rows"),
    (lambda m, t: m(torch.zeros(1, 1, dtype=torch.int64).expand(1 << 20, 1 << 20)), "GiB"),
], ids=["mask", "ends", "both", "block", "twice", "range", "put", "memory"])
def test_what_does_not_fit_is_refused(model, sequences, call, message):
    with pytest.raises(ValueError, match=message):
        call(model, sequences[0])


def test_texts_generated_together_are_those_generated_alone():
    model, tokenizer = wkv.load("embedded"), wkv.tokenizer("bytes")
    prompts = ["In the beginning", "And", "Blessed"]
    together = wkv.generate_batch(model, tokenizer, prompts, width=2, max_tokens=12, top_p=0.5, seed=3)
    alone = [
        wkv.generate(model, tokenizer, prompt, max_tokens=12, top_p=0.5, seed=3 + i) for i, prompt in enumerate(prompts)
    ]
    assert together == alone
