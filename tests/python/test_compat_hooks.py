"""wkv.compat.enable, on a package that the tests pretend to have."""

import subprocess
import sys

import pytest
import torch

import wkv
from wkv.compat import hooks


def test_compat_imports_none_of_the_packages():
    code = "import sys, wkv.compat; sys.exit(bool({'fla', 'transformers', 'triton'} & sys.modules.keys()))"
    environment = {"PYTHONPATH": ":".join(sys.path), "WKV_LIBRARY_DIR": str(wkv._library.library_folder())}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_enabling_an_unknown_package_names_the_known_ones():
    with pytest.raises(ValueError, match="'flash' is none of 'fla', 'transformers'"):
        wkv.compat.enable("flash")


@pytest.mark.parametrize("package, distribution", [("fla", "flash-linear-attention"), ("transformers", "transformers")])
def test_enabling_a_missing_package_names_it(monkeypatch, package, distribution):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"needs the package {distribution}"):
        wkv.compat.enable(package)


def package_of(original):
    """A package with a function, another module that imported it, a table of functions and a method."""
    source, user = type(sys)("pretended"), type(sys)("pretended.user")
    model = type("Model", (), {"forward": original, "__module__": "pretended"})
    vars(source).update(function=original, Model=model, TABLE={"function": original})
    user.function = original
    return {"pretended": source, "pretended.user": user}


@pytest.fixture
def pretended(monkeypatch):
    original = lambda *x: "theirs"
    modules = package_of(original)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(hooks.PACKAGES, "pretended", ("pretended", {"pretended:function": lambda *x: "ours"}, {}))
    wkv.compat.enable("pretended")
    yield modules["pretended"], modules["pretended.user"], original
    wkv.compat.disable("pretended")


def test_enable_replaces_every_mention_of_a_function(pretended):
    source, user, _ = pretended
    x = torch.zeros(1)
    assert [source.function(x), user.function(x), source.TABLE["function"](x), source.Model().forward(x)] == [
        "ours"
    ] * 4


def test_enabling_twice_is_enabling_once(pretended):
    function = pretended[0].function
    wkv.compat.enable("pretended")
    assert pretended[0].function is function


def test_disable_brings_the_originals_back(pretended):
    source, user, original = pretended
    wkv.compat.disable("pretended")
    assert all(x is original for x in (source.function, user.function, source.TABLE["function"], source.Model.forward))


def test_other_devices_keep_the_originals(pretended):
    assert pretended[0].function(torch.zeros(1, device="meta")) == "theirs"


class OnGpu(torch.Tensor):
    """Says that it is on a GPU."""

    device = torch.device("cuda")


@pytest.mark.parametrize("built_for, answer", [("90", "ours"), ("", "theirs")])
def test_on_a_gpu_operators_are_replaced_where_wkv_has_kernels(monkeypatch, pretended, built_for, answer):
    wkv.compat.disable("pretended")
    monkeypatch.setattr(torch.ops.wkv, "_cuda_architectures", lambda: built_for)
    wkv.compat.enable("pretended")
    assert pretended[0].function(torch.zeros(1).as_subclass(OnGpu)) == answer


def test_on_a_gpu_a_package_keeps_its_kernels_for_what_is_no_operator(monkeypatch, pretended):
    wkv.compat.disable("pretended")
    monkeypatch.setitem(hooks.PACKAGES, "pretended", ("pretended", {}, {"pretended:function": lambda *x: "ours"}))
    wkv.compat.enable("pretended")
    source = pretended[0]
    assert [source.function(torch.zeros(1)), source.function(torch.zeros(1).as_subclass(OnGpu))] == ["ours", "theirs"]


def test_a_package_without_a_function_that_enable_replaces_is_refused(monkeypatch, pretended):
    wkv.compat.disable("pretended")
    del pretended[0].function
    with pytest.raises(ImportError, match="does not know this version of pretended: .*function"):
        wkv.compat.enable("pretended")
