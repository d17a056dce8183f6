"""From a name to an answer: every command, with models, a vocabulary and labels that a hub on this machine publishes."""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import safetensors.torch
import torch
import wkv
from conftest import ROOT, golden, heed_ctrl_c
from hub_server import HubServer
from png import write_png
from test_cli import PROGRAM

KJV = ROOT / "zoo/embedded/kjv-rwkv7.safetensors"
SIZE = ("--pipeline", "clip32")  # the tiny models are of small images
TEXT = "And God said, Let there be light: and there was light.\n"


def clip_vocabulary():
    """CLIP's number of merges, of which none joins letters: those of characters that no text has."""
    rare = [chr(code) for code in range(0x100, 0x122)]
    merges = [f"{a} {b}" for a in rare for b in rare]
    merges += [f"{a}{b} {c}{end}" for end in ("", "</w>") for a in rare for b in rare for c in rare]
    return gzip.compress(('"merges"\n' + "\n".join(merges[:48894]) + "\n").encode())


def weights(fixture):
    """The weights (keys w.*) of a golden file."""
    tensors = safetensors.torch.load_file(golden(fixture))
    return {name[2:]: tensor for name, tensor in tensors.items() if name.startswith("w.")}


def clip_weights():
    """A tiny RWKV-CLIP that reads CLIP's tokens."""
    tensors = weights("rwkv_clip/tiny_cls.safetensors")
    width = tensors["text_model.emb.weight"].shape[1]
    words = torch.randn(49408, width, generator=torch.Generator().manual_seed(1))
    return tensors | {"text_model.emb.weight": words}


def library():
    """Where another process finds it, as this one does."""
    return {name: os.environ[name] for name in ("WKV_LIBRARY_DIR",) if name in os.environ}


class Zoo:
    """A hub that publishes models, the cards of them, and a home for what is fetched."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "home"
        self.cards, self.files = folder / "cards", folder / "hub"
        self.hub = HubServer(self.files)
        (self.cards / "data").mkdir(parents=True)

    def publish(self, repository, name, content):
        path = self.files / repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def card(self, name, family, files, **more):
        card = {
            "name": name, "description": "of a test", "family": family, "task": "text-generation",
            "container": "safetensors", "source": {"repository": f"us/{name}", "revision": "main"},
            "files": [{"path": file} for file in files], "verified": "tiny",
        }  # fmt: skip
        (self.cards / f"{name}.json").write_text(json.dumps(card | more))

    def data_card(self, name, kind, files):
        for path, content in files.items():
            self.publish("us/data", path, content)
        card = {
            "name": name, "kind": kind, "description": "of a test", "source": {"repository": "us/data"},
            "files": [{"path": path} for path in files],
        }  # fmt: skip
        (self.cards / f"data/{name}.json").write_text(json.dumps(card))

    def environment(self, home, **more):
        return self.hub.environment(home, **{"WKV_CARDS": self.cards, "OMP_NUM_THREADS": 1} | more)

    def run(self, *arguments, home=None, stdin=b"", status=0, **environment):
        done = subprocess.run(
            [PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=300,
            env=self.environment(home or self.home, **environment),
        )  # fmt: skip
        assert done.returncode == status, done.stderr.decode()
        return done

    def text(self, *arguments, **options):
        return self.run(*arguments, **options).stdout.decode()

    def error(self, *arguments, **options):
        return self.run(*arguments, status=1, **options).stderr.decode()

    def python(self, program, home=None, **environment):
        environment = self.environment(home or self.home, PYTHONPATH=ROOT / "zoo/python", **environment) | library()
        return subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=300, env=environment)


def prompt_check():
    """The most probable bytes after a prompt, by the embedded model."""
    logits = wkv.load("embedded")(torch.tensor([list(b"In the beginning")]))[0][0, -1]
    return {"prompt": "In the beginning", "logits": [[token, logits[token].item()] for token in logits.topk(3).indices.tolist()]}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    zoo = Zoo(tmp_path_factory.mktemp("names"))
    zoo.publish("us/kjv", "kjv.safetensors", KJV.read_bytes())
    zoo.card("kjv", "rwkv7", ["kjv.safetensors"], aliases=["KJV-20261122"], tokenizer="bytes", parameters=1879360,
             prompt="Q: {}\nA: Verily", check=prompt_check())  # fmt: skip

    folder = golden("rwkv4/hf_l3c64/model.safetensors").parent
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    shards = [f"model-{i}-of-2.safetensors" for i in (1, 2)]
    placed = {name: shards[i % 2] for i, name in enumerate(sorted(tensors))}
    for shard in shards:
        part = {name: tensor for name, tensor in tensors.items() if placed[name] == shard}
        zoo.publish("us/sharded", shard, safetensors.torch.save(part, {"format": "pt"}))
    zoo.publish("us/sharded", "model.safetensors.index.json", json.dumps({"weight_map": placed}).encode())
    zoo.publish("us/sharded", "config.json", (folder / "config.json").read_bytes())
    zoo.card("sharded", "rwkv4", ["model.safetensors.index.json", *shards, "config.json"], tokenizer="world")

    zoo.publish("us/vision", "vision.safetensors", safetensors.torch.save(weights("vrwkv/small_postnorm_layerscale_32x32.safetensors")))
    config = json.loads(golden("vrwkv/small_postnorm_layerscale_32x32.json").read_text())["config"]
    zoo.card("vision", "vrwkv", ["vision.safetensors"], task="image-classification", config=config, preprocessing="vl32",
             figures=[{"metric": "top-1", "data": "our photos", "value": 10, "unit": "%"}])  # fmt: skip
    zoo.publish("us/clip", "clip.safetensors", safetensors.torch.save(clip_weights()))
    zoo.card("clip", "rwkv_clip", ["clip.safetensors"], task="image-text", tokenizer="clip", preprocessing="clip32")

    zoo.data_card("clip", "tokenizer", {"bpe_simple_vocab_16e6.txt.gz": clip_vocabulary()})
    world = "".join(f"{byte + 1} b'\\x{byte:02x}' 1\n" for byte in range(256))
    zoo.data_card("world", "tokenizer", {"rwkv_vocab_v20230424.txt": world.encode()})
    sets = {"label.json": {"colours": ["red", "blue"]}, "template.json": {"colours": ["a {} photo.", "{}"]}}
    zoo.data_card("zero-shot", "labels", {name: json.dumps(entries).encode() for name, entries in sets.items()})

    (zoo.folder / "text").write_text(TEXT)
    (zoo.folder / "recipe.json").write_text(json.dumps({
        "steps": 1, "batch": 1, "context": 16, "model": {"checkpoint": "kjv"}, "data": {"files": [str(zoo.folder / "text")]},
        "output": "set on the command line",
    }))  # fmt: skip
    for name in ("red/a.png", "blue/b.png"):
        (zoo.folder / "photos" / name).parent.mkdir(parents=True)
        pixels = torch.randint(256, (40, 33, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
        write_png(zoo.folder / "photos" / name, pixels)
    vectors = torch.randn(5, 32, generator=torch.Generator().manual_seed(5))
    wkv.vision.save_embeddings(zoo.folder / "index.safetensors", vectors, list("abcde"))
    with zoo.hub:
        yield zoo


def lines_of(text):
    return text.splitlines()


# The arguments, what the answer must match, and the first file that is missing where nothing is. {zoo}: the folder of the
# test's files, {out}: one for what is written.
COMMANDS = {
    "pull": (["pull", "kjv"], r"kjv\.safetensors", "kjv.safetensors"),
    "verify": (["verify", "kjv"], r"pass  logits after", "kjv.safetensors"),
    "generate": (["generate", "kjv", "--prompt", "In the", "--tokens", "20", "--seed", "1"], r"\w+", "kjv.safetensors"),
    "chat": (["chat", "kjv", "--tokens", "10", "--seed", "1"], r"^ Verily", "kjv.safetensors"),
    "score": (["score", "kjv", "--text", "{zoo}/text"], r"bits per byte", "kjv.safetensors"),
    "bench": (["bench", "kjv", "--threads", "1", "--prompt", "4", "--decode", "2", "--rounds", "1"], r"tokens/s", "kjv.safetensors"),
    "convert": (["convert", "kjv", "{out}/kjv.safetensors"], r"", "kjv.safetensors"),
    "train": (["train", "{zoo}/recipe.json", "output={out}"], r".", "kjv.safetensors"),
    "tokenize": (["tokenize", "world", "--text", "{zoo}/text"], r"^66 111 101", "rwkv_vocab_v20230424.txt"),
    "sharded": (["generate", "sharded", "--prompt", "IN", "--tokens", "0"], r"", "model.safetensors.index.json"),
    "export": (["export", "kjv", "--to", "torchscript", "{out}/kjv.pt"], r"", "kjv.safetensors"),
    "classify": (["classify", "vision", "{zoo}/photos", "--top", "1"], r"a\.png\n  0\.", "vision.safetensors"),
    "zero-shot": (["zero-shot", "clip", "{zoo}/photos", "--labels", "colours"], r"red\n", "label.json"),
    "embed": (["embed", "clip", "{zoo}/photos", "--output", "{out}/x.npy"], r"2 embeddings of 32", "clip.safetensors"),
    "retrieve": (["retrieve", "clip", "--index", "{zoo}/index.safetensors", "--query", "red"], r"^red\n  -?0\.", "clip.safetensors"),
    "eval": (["eval", "clip", "zero-shot", "--labels", "colours", "--images", "{zoo}/photos"], r"2 images, 2 classes", "label.json"),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_gives_an_answer_then_without_the_network_and_is_missed_where_it_is_not(zoo, command, tmp_path):
    arguments, answer, missing = COMMANDS[command]

    def run(out, **options):
        (tmp_path / out).mkdir()
        filled = [argument.format(zoo=zoo.folder, out=tmp_path / out) for argument in arguments]
        return zoo.run(*filled, home=options.pop("home", tmp_path), stdin=b"Who art thou?\n", **options)

    first = run("online").stdout.decode()
    assert re.search(answer, first)
    sent = len(zoo.hub.requests)
    assert re.search(answer, run("offline", HF_HUB_OFFLINE=1).stdout.decode())
    message = run("nowhere", home=tmp_path / "empty", HF_HUB_OFFLINE=1, status=1).stderr.decode()
    assert len(lines_of(message)) == 1 and missing in message and "HF_HUB_OFFLINE" in message
    assert re.search(f"put it at {tmp_path}/empty/hf/hub/models--us--[^ ]+/{missing}", message)
    assert len(zoo.hub.requests) == sent


def test_every_command_is_driven_by_name():
    """But for those below, and info and list, which need no file."""
    usage = subprocess.run([PROGRAM, "--help"], capture_output=True, check=True).stdout.decode()
    commands = set(re.findall(r"^  ([a-z][a-z-]+) ", usage, re.MULTILINE))
    assert commands - set(COMMANDS) == {"info", "list", "serve"}


def test_list_and_info_know_names_without_a_file(zoo, tmp_path):
    assert "kjv" in zoo.text("list", "kj*", home=tmp_path)
    info = json.loads(zoo.text("info", "KJV-20261122", "--json", home=tmp_path))
    assert "rwkv7" in json.dumps(info)


def test_serve_answers_under_the_models_name(zoo):
    server = subprocess.Popen([PROGRAM, "serve", "kjv", "--port", "0"], stdout=subprocess.PIPE, env=zoo.environment(zoo.home))
    try:
        url = server.stdout.readline().decode().split()[-1]
        body = {"model": "kjv", "messages": [{"role": "user", "content": "Who art thou?"}], "max_tokens": 8}
        request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert answer["model"] == "kjv" and answer["usage"]["completion_tokens"] > 0
    finally:
        server.terminate()
        server.wait(timeout=60)
        server.stdout.close()


def test_python_loads_by_name(zoo, tmp_path):
    program = """if True:
        import wkv
        model = wkv.load("kjv")
        print(wkv.generate(model, wkv.tokenizer(model.tokenizer), "In the", max_tokens=10, temperature=0))
        print(wkv.load("vision").preprocessing, wkv.tokenizer("world").vocab_size, wkv.vision.load_labels("colours"))"""
    done = zoo.python(program, home=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    greedy = zoo.text("generate", "embedded", "--prompt", "In the", "--tokens", 10, "--temperature", 0)
    assert done.stdout.decode() == f"{greedy}vl32 257 [['red'], ['blue']]\n"
    assert not done.stderr  # progress is for terminals
    assert zoo.python(program, home=tmp_path, WKV_OFFLINE=1).returncode == 0
    failed = zoo.python(program, home=tmp_path / "empty", WKV_OFFLINE=1).stderr.decode()
    assert "kjv.safetensors" in failed and "put it at" in failed


def test_python_can_be_interrupted_while_it_fetches(zoo, tmp_path):
    zoo.hub.misbehave(lambda answer: setattr(answer, "bytes_per_second", 50_000), path="cdn/us/kjv")
    environment = zoo.environment(tmp_path, PYTHONPATH=ROOT / "zoo/python")
    program = [sys.executable, "-c", "import wkv; wkv.load('kjv')"]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, env=environment | library(), preexec_fn=heed_ctrl_c)
    while process.poll() is None and not list(tmp_path.rglob("*.incomplete")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate()[1]


def test_python_says_which_names_are_near(zoo):
    failed = zoo.python("import wkv; wkv.load('sharted')").stderr.decode()
    assert "FileNotFoundError" in failed and "where sharded is near" in failed


def test_an_alias_is_a_name(zoo):
    greedy = ("--prompt", "In the", "--tokens", 10, "--temperature", 0)
    assert zoo.text("generate", "kjv-20261122", *greedy) == zoo.text("generate", "embedded", *greedy)


def test_a_path_that_exists_is_no_name(zoo, tmp_path):
    (tmp_path / "kjv").write_text("not a checkpoint")
    done = subprocess.run([PROGRAM, "generate", "kjv"], cwd=tmp_path, capture_output=True, env=zoo.environment(zoo.home))
    assert done.returncode == 1 and b"kjv: is neither safetensors nor a .pth" in done.stderr


def test_a_file_that_was_put_into_the_cache_by_hand_is_found(zoo, tmp_path):
    message = zoo.error("generate", "kjv", home=tmp_path, HF_HUB_OFFLINE=1)
    place = Path(re.search(r"put it at (\S+)", message)[1])
    place.parent.mkdir(parents=True)
    shutil.copy(KJV, place)
    assert zoo.text("generate", "kjv", "--tokens", 5, home=tmp_path, HF_HUB_OFFLINE=1)


def test_a_sharded_model_equals_its_folder(zoo, tmp_path):
    for name in ("sharded", golden("rwkv4/hf_l3c64/model.safetensors").parent):
        zoo.run("convert", name, tmp_path / f"{Path(name).name}.safetensors")
    one, other = (safetensors.torch.load_file(path) for path in sorted(tmp_path.glob("*.safetensors")))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_cards_configuration_fills_what_the_users_leaves_out(zoo):
    file = zoo.files / "us/vision/vision.safetensors"
    config = json.loads(golden("vrwkv/small_postnorm_layerscale_32x32.json").read_text())["config"]
    arguments = (zoo.folder / "photos", "--json")
    of_name = zoo.text("classify", "vision", *arguments)
    assert of_name == zoo.text("classify", file, *arguments, "--config", json.dumps(config), "--pipeline", "vl32")
    other = {"post_norm": False}
    changed = zoo.text("classify", "vision", *arguments, "--config", json.dumps(other))
    assert changed == zoo.text("classify", file, *arguments, "--config", json.dumps(config | other), "--pipeline", "vl32")
    assert changed != of_name


def test_a_card_names_the_classes(zoo):
    card = json.loads((zoo.cards / "vision.json").read_text())
    same = {key: card[key] for key in ("task", "source", "config", "preprocessing")}
    photo, count = zoo.folder / "photos/red/a.png", card["config"]["num_classes"]
    zoo.card("named", "vrwkv", ["vision.safetensors"], **same, classes=[f"name {i}" for i in range(count)])
    shown = re.findall(r"  0\.\d+ +(\d+)  (.*)", zoo.text("classify", "named", photo))
    assert len(shown) == 5 and all(name == f"name {index}" for index, name in shown)
    zoo.card("misnamed", "vrwkv", ["vision.safetensors"], **same, classes=["a", "b", "c"])
    assert f"misnamed: 3 names for a model of {count} classes" in zoo.error("classify", "misnamed", photo)


def test_a_card_of_another_family_is_refused(zoo):
    zoo.card("liar", "rwkv4", ["kjv.safetensors"], source={"repository": "us/kjv"})
    assert "those of rwkv7, but the card liar says rwkv4" in zoo.error("generate", "liar")
    (zoo.cards / "liar.json").unlink()


# verify


def verify(zoo, *arguments, **options):
    done = zoo.run("verify", *arguments, "--json", **options)
    return json.loads(done.stdout)


def test_verify_compares_files_tensors_and_logits_with_the_card(zoo):
    result = verify(zoo, "kjv")
    assert result["passed"] and result["card"] == "kjv"
    found = {check["check"]: check for check in result["checks"]}
    assert found["size of kjv.safetensors"] == {
        "check": "size of kjv.safetensors", "expected": None, "found": str(KJV.stat().st_size), "passed": True,
    }  # fmt: skip
    assert found["parameters"]["expected"] == found["parameters"]["found"] == "1879360"
    assert {"sha256 of kjv.safetensors", "family", 'logits after "In the beginning"'} < set(found)


def test_verify_needs_no_file_for_the_embedded_model(zoo):
    result = verify(zoo, "embedded")
    assert result["passed"] and [check["check"].split()[0] for check in result["checks"]] == ["family", "parameters", "logits"]


@pytest.mark.parametrize("wrong, failed", [
    ({"files": [{"path": "kjv.safetensors", "sha256": "0" * 64}]}, "sha256 of kjv.safetensors"),
    ({"files": [{"path": "kjv.safetensors", "size": 5}]}, "size of kjv.safetensors"),
    ({"parameters": 7}, "parameters"),
    ({"check": {"prompt": "In the beginning", "logits": [[32, 1.0]]}}, 'logits after "In the beginning"'),
])  # fmt: skip
def test_verify_fails_where_a_file_is_not_what_its_card_says(zoo, tmp_path, wrong, failed):
    shutil.copytree(zoo.cards, tmp_path / "cards")
    card = json.loads((zoo.cards / "kjv.json").read_text())
    (tmp_path / "cards/kjv.json").write_text(json.dumps(card | wrong))
    shutil.copy(KJV, tmp_path / "KJV-20261122.safetensors")  # called as upstream does
    result = verify(zoo, tmp_path / "KJV-20261122.safetensors", status=1, WKV_CARDS=tmp_path / "cards")
    assert [check["check"] for check in result["checks"] if not check["passed"]] == [failed]


def test_verify_measures_bits_per_byte(zoo):
    message = zoo.error("verify", "embedded", "--text", zoo.folder / "text")
    measured = json.loads(zoo.text("score", "embedded", "--text", zoo.folder / "text", "--json"))["bits_per_byte"]
    assert "not what the card kjv-rwkv7 says: bits per byte" in message
    result = verify(zoo, "embedded", "--text", zoo.folder / "text", status=1)
    assert result["checks"][-1]["found"] == f"{measured:.4f}" and result["checks"][-1]["expected"].startswith("1.6712, ")


def test_verify_measures_the_last_words_of_lambada(zoo, tmp_path):
    (tmp_path / "lambada.jsonl").write_text(json.dumps({"text": "And God said, Let there be light"}) + "\n")
    model = wkv.load("embedded")
    passage = list(b"\nAnd God said, Let there be light")
    word = model(torch.tensor([passage[:-1]]))[0][0, -6:].log_softmax(-1)
    perplexity = (-word[range(6), passage[-6:]].sum()).exp().item()
    message = zoo.error("verify", "kjv", "--lambada", tmp_path / "lambada.jsonl")
    assert "no such figure" in message
    assert float(re.search(r"perplexity ([0-9.]+)", message)[1]) == pytest.approx(perplexity, rel=1e-4)
    unfinished = verify(zoo, "kjv", "--lambada", tmp_path / "lambada.jsonl", status=1)
    assert not unfinished["passed"] and all(check["passed"] for check in unfinished["checks"])
    (tmp_path / "bad.jsonl").write_text('{"text": "one two"}\n{"text": "word"}\n')
    assert "bad.jsonl, line 2: expected" in zoo.error("verify", "kjv", "--lambada", tmp_path / "bad.jsonl")


def test_verify_measures_accuracy_on_images(zoo, tmp_path):
    for i in range(10):  # the same in each of ten classes: one is right
        (tmp_path / f"{i}").mkdir()
        shutil.copy(zoo.folder / "photos/red/a.png", tmp_path / f"{i}")
    result = verify(zoo, "vision", "--images", tmp_path)
    assert result["checks"][-1] == {
        "check": "top-1, our photos", "expected": "10%, within 0.3", "found": "10.0000%", "passed": True,
    }  # fmt: skip
    assert 'no such figure on "others"' in zoo.error("verify", "vision", "--images", tmp_path, "--data", "others")


def test_verify_needs_a_card(zoo, tmp_path):
    shutil.copy(KJV, tmp_path / "model.safetensors")
    assert "no card of the catalogue has a file of this name" in zoo.error("verify", tmp_path / "model.safetensors")
