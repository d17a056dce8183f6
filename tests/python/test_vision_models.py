"""A loaded model that sees gives the published implementation's numbers, and trains as any model of PyTorch does."""
import copy
import pickle

import pytest
import torch
import wkv
from vision_cases import CASES, VisionFixture, relative_error


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def fixture(request, tmp_path_factory):
    return VisionFixture(request.param, tmp_path_factory.mktemp("vision"))


def one(name):
    return pytest.fixture(scope="module", name=name)(
        lambda tmp_path_factory: VisionFixture(CASES[name.replace("_", " ")], tmp_path_factory.mktemp("vision"))
    )


vrwkv, clip, adapter, backbone = one("vrwkv"), one("clip"), one("detection_adapter"), one("vrwkv6_with_class_token")


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 5e-5), (torch.float64, 2e-6)], ids=["fp32", "fp64"])
def test_outputs(fixture, dtype, tolerance):
    outputs = fixture.outputs(fixture.load(dtype=dtype), dtype)
    for name, found, expected in zip(fixture.case.expected, outputs, fixture.expected(), strict=True):
        assert found.shape == expected.shape and relative_error(found, expected) < tolerance, name


def test_gradients_reach_every_leaf(fixture):
    model = fixture.load(dtype=torch.float64)
    fixture.loss(fixture.outputs(model, torch.float64)).backward()
    parameters, expected = model.named_parameters(), fixture.part("grad.")
    assert all(x.is_leaf and x.grad is not None for x in parameters.values())
    found = parameters.keys() & expected.keys()  # a file may have the gradients of some
    assert len(found) > 20
    for name in found:
        assert relative_error(parameters[name].grad, expected[name]) < 1e-4, name


def test_names_are_the_published_ones(fixture):
    model = fixture.load()
    assert model.family == fixture.case.family
    assert model.state_dict().keys() == fixture.weights.keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, fixture.weights[name].to(tensor.dtype)), name


def test_a_model_in_bfloat16(fixture):
    model = fixture.load(dtype=torch.bfloat16)
    assert {x.dtype for x in model.named_parameters().values()} == {torch.bfloat16}
    for found, expected in zip(fixture.outputs(model, torch.bfloat16), fixture.expected()):
        assert relative_error(found, expected) < 0.1


def test_autocast_keeps_gradients_in_float32(fixture):
    model = fixture.load()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = fixture.outputs(model)
    for found, expected in zip(outputs, fixture.expected()):
        assert relative_error(found, expected) < 0.1
    fixture.loss([x.float() for x in outputs]).backward()
    assert {x.grad.dtype for x in model.named_parameters().values() if x.grad is not None} == {torch.float32}


def test_a_module_is_the_model(fixture):
    model = fixture.load()
    expected = fixture.outputs(model)
    module = wkv.nn.Module(model)
    assert module.state_dict().keys() == fixture.weights.keys()
    assert module.state_dict().keys() - dict(module.named_parameters()).keys() == model.named_buffers().keys()
    wanted = model.named_parameters()
    assert all(x is wanted[name] for name, x in module.named_parameters())
    for found, x in zip(fixture.outputs(module.model), expected):
        assert torch.equal(found, x)


def test_a_modules_to_changes_the_model(fixture):
    model = fixture.load()
    module = wkv.nn.Module(model).double()
    assert {x.dtype for x in [*model.state_dict().values()] if x.is_floating_point()} == {torch.float64}
    assert all(buffer is model.named_buffers()[name] for name, buffer in module.named_buffers())
    for found, expected in zip(fixture.outputs(model, torch.float64), fixture.expected()):
        assert relative_error(found, expected) < 2e-6


def test_a_state_dict_can_be_saved_and_loaded(fixture, tmp_path):
    model = fixture.load()
    torch.save(model.state_dict(), tmp_path / "m.pth")
    again = wkv.load(tmp_path / "m.pth", config=fixture.config, family=fixture.case.family)
    for found, expected in zip(fixture.outputs(again), fixture.outputs(model)):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("copying", [copy.deepcopy, pickle.dumps])
def test_copies_are_refused(vrwkv, copying):
    with pytest.raises(TypeError, match="state_dict"):
        copying(vrwkv.load())


def test_forward_of_a_module_is_the_models(vrwkv, clip):
    for f, inputs in [(vrwkv, ["in.x"]), (clip, ["in.image", "in.text"])]:
        module = wkv.nn.Module(f.load())
        found, expected = module(*(f[name] for name in inputs)), f.outputs(module.model)
        assert all(map(torch.equal, found if isinstance(found, tuple) else (found,), expected))


def test_a_few_steps_lower_the_loss(vrwkv, clip):
    for f in (vrwkv, clip):
        module = wkv.nn.Module(f.load()).train()
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = f.loss(f.outputs(module.model))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert sorted(losses, reverse=True) == losses


def test_batch_statistics_move_in_train_mode_only(detection_adapter):
    model = detection_adapter.load()
    before = {name: x.clone() for name, x in model.named_buffers().items()}
    assert len(before) > 10
    detection_adapter.outputs(model.eval())
    assert all(torch.equal(x, before[name]) for name, x in model.named_buffers().items())
    images = detection_adapter["in.x"].repeat(2, 1, 1, 1)
    wkv.nn.Module(model).train().model.features(images)
    moved = [name for name, x in model.named_buffers().items() if not torch.equal(x, before[name])]
    assert {name.split(".")[-1] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}
    assert len(moved) == len(before)


def test_images_of_other_sizes(vrwkv):
    model = vrwkv.load()
    for size in [(48, 64), (45, 59), (8, 8)]:
        assert model(torch.randn(2, 3, *size)).shape == vrwkv["out.logits"].shape


def test_encoders_are_the_towers(clip):
    model = clip.load()
    images, texts = model.encode_image(clip["in.image"]), model.encode_text(clip["in.text"])
    assert relative_error(images, clip["out.image_features"]) < 1e-5
    assert relative_error(texts, clip["out.text_features"]) < 1e-5
    assert relative_error(model.encode_image(clip["in.image"], normalize=True), clip["out.image_embeds"]) < 1e-5
    assert relative_error(model.encode_text(clip["in.text"], normalize=True), clip["out.text_embeds"]) < 1e-5


def test_models_tell_their_preprocessing(vrwkv, clip):
    assert vrwkv.load().preprocessing == "mm224"
    assert clip.load().preprocessing.startswith("clip")


def test_every_model_is_a_model(vrwkv, clip):
    assert isinstance(vrwkv.load(), wkv.VisionModel) and isinstance(vrwkv.load(), wkv.Model)
    assert isinstance(clip.load(), wkv.ClipModel) and isinstance(clip.load(), wkv.Model)
    assert isinstance(wkv.load("embedded"), wkv.LanguageModel) and isinstance(wkv.load("embedded"), wkv.Model)
    assert repr(clip.load()).startswith("wkv.ClipModel(rwkv_clip, {")


@pytest.mark.parametrize("call, error, message", [
    (lambda c, b: b.load()(b["in.x"]), ValueError, "a backbone without a head has features, and no logits"),
    (lambda c, b: c.load()(c["in.x"][0]), ValueError, "images: expected [B, 3, H, W]"),
    (lambda c, b: c.load()(c["in.x"][:, :1]), ValueError, "images: expected [B, 3, H, W]"),
    (lambda c, b: c.load()(c["in.x"].byte()), ValueError, "images: expected a floating-point dtype, got Byte"),
    (lambda c, b: c.load().features("x.png"), RuntimeError, "for argument 'images'"),
    (lambda c, b: wkv.nn.Module(c.load()).loss(c["in.x"], c["in.labels"]), AttributeError, "no attribute 'loss'"),
    (lambda c, b: wkv.generate(c.load(), wkv.tokenizer("bytes"), "x"), ValueError, "vrwkv: not a language model"),
], ids=range(7))
def test_errors_are_clear(vrwkv, vrwkv6_with_class_token, call, error, message):
    with pytest.raises(error) as caught:
        call(vrwkv, vrwkv6_with_class_token)
    assert message in str(caught.value)
    assert "Exception raised from" not in str(caught.value)
