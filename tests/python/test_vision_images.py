"""wkv.preprocess: the published pipelines' tensors of files and of bytes, and what is no image."""
import pytest
import safetensors.torch
import torch
import wkv
from conftest import golden
from png import write_png

PNG = "rgb_odd_123x77.png"


@pytest.fixture(scope="module")
def image():
    return golden(f"image_preprocess/images/{PNG}")


@pytest.mark.parametrize("pipeline", ["mm224", "clip224"])
def test_whole_images(image, pipeline):
    expected = safetensors.torch.load_file(golden("image_preprocess/full_normalised_rgb_odd_123x77_png.safetensors"))
    torch.testing.assert_close(wkv.preprocess(image, pipeline), expected[pipeline], rtol=0, atol=1e-6)


@pytest.mark.parametrize("pipeline", ["mm224", "vl384", "clip224"])
def test_bytes_are_the_file(image, pipeline):
    found = wkv.preprocess(image.read_bytes(), pipeline)
    assert found.dtype == torch.float32 and found.shape == (3, int(pipeline[-3:]), int(pipeline[-3:]))
    assert torch.equal(found, wkv.preprocess(str(image), pipeline))


@pytest.mark.parametrize("pipeline", ["mm224", "clip224"])
@pytest.mark.parametrize("name", ["exif6_160x110.jpg", "rgba_97x131.png"])
def test_samples_of_other_kinds_of_files(name, pipeline):
    file = golden(f"image_preprocess/{name.replace('.', '_')}.safetensors")
    expected = safetensors.torch.load_file(file)[f"{pipeline}.norm_sample"]
    found = wkv.preprocess(golden(f"image_preprocess/images/{name}"), pipeline)
    torch.testing.assert_close(found[:, ::8, ::8], expected, rtol=0, atol=1e-6)


def test_many_files_go_on_where_some_fail(tmp_path):
    for i in range(3):
        write_png(tmp_path / f"{i}.png", torch.randint(256, (20, 30, 3), dtype=torch.uint8))
    (tmp_path / "text.jpg").write_text("no image")
    paths = [tmp_path / name for name in ("0.png", "text.jpg", "1.png", "missing.png", "2.png")]
    images, errors = wkv.vision.preprocess_files(paths, "clip224")
    assert [image is None for image in images] == [False, True, False, True, False]
    assert errors.keys() == {str(paths[1]), str(paths[3])}
    assert all(path in message and "\n" not in message for path, message in errors.items())
    for path, image in zip(paths, images):
        assert image is None or torch.equal(image, wkv.preprocess(path, "clip224"))


def test_no_files_give_no_images():
    assert wkv.vision.preprocess_files([], "mm224") == ([], {})


@pytest.mark.parametrize("image, pipeline, error, message", [
    ("no-such-image.png", "mm224", FileNotFoundError, "no-such-image.png"),
    (b"", "mm224", ValueError, "image"),
    (b"no image at all", "mm224", ValueError, "image"),
    (b"\x89PNG\r\n\x1a\n", "mm224", ValueError, "image"),
    (b"\xff\xd8\xff\xe0", "clip224", ValueError, "image"),
    (b"", "jpeg99", ValueError, "jpeg99"),
], ids=range(6))
def test_errors_are_clear(image, pipeline, error, message):
    with pytest.raises(error) as caught:
        wkv.preprocess(image, pipeline)
    assert message in str(caught.value)
    assert "Exception raised from" not in str(caught.value)


def test_a_broken_file_is_named(tmp_path, image):
    (tmp_path / "half.png").write_bytes(image.read_bytes()[:2000])
    with pytest.raises(ValueError, match="half.png"):
        wkv.preprocess(tmp_path / "half.png", "mm224")


def test_an_unknown_pipeline_is_refused_for_many_files_at_once():
    with pytest.raises(ValueError, match="jpeg99"):
        wkv.vision.preprocess_files(["a.png"], "jpeg99")
