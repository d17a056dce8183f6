"""The command `wkv serve`, by the clients that it is for, and by those that it must withstand."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("WKV_PROGRAM", ROOT / "build/bin/wkv"))
PATIENCE = 300  # seconds after which a test gives up; nothing that is measured
ENDLESS = {"prompt": "And", "max_tokens": 1_000_000, "stream": True}


class Server:
    def __init__(self, *options, port=0):
        command = [PROGRAM, "serve", "embedded", "--threads", "1", "--port", port, "--max-tokens", 1_000_000, *options]
        self.process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line + self.process.stderr.read()
        self.url = line.split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def client(self, key="none"):
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, timeout=PATIENCE, max_retries=0)

    def connect(self, receive_buffer=None):
        client = socket.socket()
        client.settimeout(PATIENCE)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(("127.0.0.1", self.port))
        return client

    def raw(self, *parts):
        """Everything that the server answers to these bytes until it closes the connection."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            return read_all(client)

    def metrics(self):
        text = self.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").partition(b"\r\n\r\n")[2].decode()
        return {name: float(value) for name, value in re.findall(r"^(wkv_\S+) (\S+)$", text, re.M)}

    def wait_for(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition(self.metrics()):
            assert time.monotonic() < end, self.metrics()
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def serving(*options, port=0):
    server = Server(*options, port=port)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server():
    with serving("--queue", 32) as server:
        yield server
        assert server.client().models.list().data[0].id == "embedded"  # after all that it went through


@pytest.fixture
def client(server):
    return server.client()


def read_all(client):
    data = b""
    while part := client.recv(65536):
        data += part
    return data


def post(body, path="/v1/completions", close=True):
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    connection = b"Connection: close\r\n" if close else b""
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n").encode() + connection + b"\r\n" + body


def statuses(answer):
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d+) ", answer)]


def error_of(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def complete(client, prompt, **options):
    options = {"max_tokens": 40, "temperature": 0, **options}
    return client.completions.create(model="embedded", prompt=prompt, **options)


# --- what clients get ---


def test_sixteen_streams_at_once_are_each_what_it_is_alone(client):
    prompts = [f"{number} And it came to pass in the days of " for number in ("one", "two", "three", "four")]
    prompts = [prompt + name for prompt in prompts for name in ("David", "Saul", "the king", "Mary")]
    alone = [complete(client, prompt).choices[0].text for prompt in prompts]

    def stream(prompt):
        return "".join(chunk.choices[0].text for chunk in complete(client, prompt, stream=True))

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(stream, prompts)) == alone
    assert len(set(alone)) > 4


def test_a_completion_is_what_the_command_generates(client):
    command = [PROGRAM, "generate", "--prompt", "In the beginning", "--tokens", "40", "--temperature", "0"]
    answer = complete(client, "In the beginning")
    assert answer.choices[0].text == subprocess.run(command, capture_output=True, text=True).stdout.removesuffix("\n")
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.prompt_tokens == 16 and answer.usage.completion_tokens == 40 and answer.usage.total_tokens == 56


def test_tokens_are_as_good_as_text(client):
    assert complete(client, list(b"In the beginning")).choices[0].text == complete(client, "In the beginning").choices[0].text


def test_stop_ends_a_text_before_it(client):
    whole = complete(client, "In the").choices[0].text
    choice = complete(client, "In the", stop=[whole[10:13], "never"]).choices[0]
    assert choice.text == whole[: whole.index(whole[10:13])] and choice.finish_reason == "stop"


def test_several_prompts_and_choices_come_in_order(client):
    answer = complete(client, ["In the", "And"], n=2, temperature=1, seed=5)
    again = complete(client, ["In the", "And"], n=2, temperature=1, seed=5)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in answer.choices] == [choice.text for choice in again.choices]
    assert len({choice.text for choice in answer.choices}) == 4
    assert answer.usage.prompt_tokens == 6 + 3 and answer.usage.completion_tokens == 4 * 40


def test_choices_stream_side_by_side(client):
    texts = {0: "", 1: ""}
    for chunk in complete(client, "In the", n=2, temperature=1, seed=5, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    answer = complete(client, "In the", n=2, temperature=1, seed=5)
    assert texts == {choice.index: choice.text for choice in answer.choices}


def test_a_chat_whole_and_streamed(client):
    messages = [{"role": "system", "content": "Speak."}, {"role": "user", "content": [{"type": "text", "text": "Who art thou?"}]}]
    options = {"model": "embedded", "messages": messages, "temperature": 0, "max_completion_tokens": 30}
    whole = client.chat.completions.create(**options)
    assert whole.choices[0].message.role == "assistant" and whole.usage.completion_tokens <= 30
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_a_conversation_reads_only_what_is_new(client):
    messages = [{"role": "user", "content": "Tell me of the beginning of the world, and of all that was made."}]

    def say():
        return client.chat.completions.create(model="embedded", messages=messages, temperature=0, max_tokens=60)

    first = say()
    messages += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "And then?"}]
    usage = say().usage
    assert usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens
    assert usage.prompt_tokens > usage.prompt_tokens_details.cached_tokens


def test_the_cache_changes_no_answer(client):
    beginning = "And the LORD spake unto Moses, saying, Speak unto the children of Israel, and say unto them, "
    prompts = [beginning + end for end in ("When", "If", "Ye", "When")]
    answers = [complete(client, prompt) for prompt in prompts]
    assert [answer.usage.prompt_tokens_details.cached_tokens for answer in answers[2:]] == [len(beginning), len(prompts[3])]
    with serving("--state-cache-mb", 0) as other:
        without = [complete(other.client(), prompt) for prompt in prompts]
        assert [answer.choices[0].text for answer in answers] == [answer.choices[0].text for answer in without]
        assert without[3].usage.prompt_tokens_details.cached_tokens == 0
        assert other.metrics()["wkv_state_cache_hits_total"] == 0


def test_a_long_prompt_does_not_hold_up_a_stream(client):
    stream = complete(client, "And", max_tokens=1_000_000, stream=True)
    next(stream)
    answer = complete(client, "In the beginning " * 200, max_tokens=1)
    assert answer.usage.prompt_tokens == 3400
    assert next(stream).choices[0].finish_reason is None
    stream.close()


# --- what they are refused ---


@pytest.mark.parametrize("options, param", [
    ({"n": 0}, "n"), ({"max_tokens": 0}, "max_tokens"), ({"temperature": 3}, "temperature"), ({"stop": [""]}, "stop"),
    ({"extra_body": {"temprature": 1}}, "temprature"), ({"logprobs": 2}, "logprobs"), ({"prompt": [999]}, "prompt"),
    ({"prompt": "a" * 40000}, "prompt"),
])
def test_a_bad_parameter_is_a_bad_request_that_names_it(client, options, param):
    with pytest.raises(openai.BadRequestError) as error:
        client.completions.create(**{"model": "embedded", "prompt": "a", **options})
    assert error.value.param == param and error.value.type == "invalid_request_error"


def test_another_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.completions.create(model="gpt-4", prompt="a")
    assert error.value.code == "model_not_found"
    assert client.models.retrieve("embedded").id == "embedded"


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"[]", b"\xff\xfe", b'{"a":' * 200_000, b"[" * 1_000_000])
def test_what_is_no_json_is_refused(server, body):
    answer = server.raw(post(body))
    assert statuses(answer) == [400] and error_of(answer)["message"]


def test_a_huge_body_is_refused_before_it_has_come(server):
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n"
    assert statuses(server.raw(head)) == [413]
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(server.raw(head, *[chunk] * 17)) == [413]


def test_a_huge_header_is_refused(server):
    assert statuses(server.raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")) == [431]


@pytest.mark.parametrize("line", [b"\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0"])
def test_what_is_no_http_is_refused(server, line):
    with server.connect() as client:
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        assert statuses(read_all(client)) in ([400], [])


def test_paths_methods_and_head(server):
    def ask(method, path):
        return server.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert statuses(ask("GET", "/nowhere")) == [404] and error_of(ask("GET", "/nowhere"))["code"] == "not_found"
    assert statuses(ask("GET", "/v1/completions")) == [405] and b"Allow: POST" in ask("GET", "/v1/completions")
    assert statuses(ask("OPTIONS", "/v1/completions")) == [405] and b"Access-Control" not in ask("OPTIONS", "/v1/completions")
    head = ask("HEAD", "/health")
    assert statuses(head) == [200] and head.endswith(b"\r\n\r\n") and b"Content-Length: 15" in head
    assert statuses(ask("GET", "/health?x=1")) == [200]


def test_requests_may_follow_each_other_on_a_connection(server):
    first = post({"model": "embedded", "prompt": "In the", "max_tokens": 3, "stream": True}, close=False)
    second = post({"model": "embedded", "prompt": "And", "max_tokens": 2}, close=False)
    answer = server.raw(first + second + b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert statuses(answer) == [200, 200, 200]
    assert answer.index(b"data: [DONE]") < answer.index(b'"finish_reason":"length"}],"usage"') < answer.index(b'"status":"ok"')


def test_an_old_client_gets_a_stream_that_ends_with_the_connection(server):
    request = post({"model": "embedded", "prompt": "In the", "max_tokens": 3, "stream": True}).replace(b"HTTP/1.1", b"HTTP/1.0")
    answer = server.raw(request)
    assert b"chunked" not in answer and answer.endswith(b"data: [DONE]\n\n")


def test_a_client_that_asks_before_it_sends_is_told_to(server):
    head, _, body = post({"model": "embedded", "prompt": "In", "max_tokens": 1}).partition(b"\r\n\r\n")
    with server.connect() as client:
        client.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert statuses(read_all(client)) == [200]


def test_with_a_key_nobody_else_is_served():
    with serving("--api-key", "secret") as server:
        assert complete(server.client("secret"), "In the").choices[0].text
        with pytest.raises(openai.AuthenticationError):
            complete(server.client("Secret"), "In the")
        assert statuses(server.raw(b"GET /health HTTP/1.0\r\n\r\n")) == [200]


# --- clients that are slow, silent or gone ---


def test_a_full_queue_says_so_and_empties():
    with serving("--slots", 1, "--queue", 1) as server:
        running = [server.client().completions.create(model="embedded", **ENDLESS) for _ in range(2)]
        with pytest.raises(openai.RateLimitError) as error:
            complete(server.client(), "In the")
        assert error.value.code == "queue_full" and error.value.response.headers["retry-after"] == "1"
        for stream in running:
            stream.close()
        server.wait_for(lambda metrics: metrics["wkv_active_texts"] + metrics["wkv_waiting_texts"] == 0)
        assert complete(server.client(), "In the").choices[0].text


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_goes_away_frees_its_slot(streamed):
    with serving("--slots", 1) as server:
        with server.connect() as client:
            client.sendall(post({"model": "embedded", **ENDLESS, "stream": streamed}))
            if streamed:
                assert client.recv(100)
            server.wait_for(lambda metrics: metrics["wkv_active_texts"] == 1)
        server.wait_for(lambda metrics: metrics.get('wkv_texts_total{reason="cancelled"}') == 1 and metrics["wkv_active_texts"] == 0)
        assert server.metrics()['wkv_requests_total{endpoint="/v1/completions",status="499"}'] == 1
        assert complete(server.client(), "In the").choices[0].text


@pytest.mark.parametrize("sent", [b"P", b"POST /v1/completions HTTP/1.1\r\nX: ", post(b"{" * 1000)[:-900]])
def test_a_request_that_never_ends_is_answered_in_time(sent):
    with serving("--read-timeout", 2) as server, server.connect() as client:
        client.sendall(sent)
        with contextlib.suppress(OSError):  # the server has stopped to listen
            for _ in range(30):
                client.sendall(b"a")
                time.sleep(0.1)
        assert statuses(read_all(client)) == [408]
        assert complete(server.client(), "In the").choices[0].text


def test_a_client_that_never_reads_is_given_up():
    with serving("--write-timeout", 1) as server, server.connect(receive_buffer=4096) as client:
        client.sendall(post({"model": "embedded", **ENDLESS, "n": 8}))
        other = complete(server.client(), "In the", stream=True)
        assert len(list(other)) > 10  # the others go on
        server.wait_for(lambda metrics: metrics.get('wkv_texts_total{reason="cancelled"}') == 8 and metrics["wkv_active_texts"] == 0)


def test_too_many_connections_are_told_so():
    with serving("--connections", 2) as server:
        first, second = server.connect(), server.connect()
        first.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        assert statuses(first.recv(1000)) == [200]
        answer = server.raw(b"GET /health HTTP/1.1\r\n\r\n")
        assert statuses(answer) == [503] and error_of(answer)["code"] == "too_many_connections"
        second.close()
        first.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert statuses(read_all(first)) == [200]


# --- beginning and end ---


def test_a_port_in_use_is_a_failure_in_one_line():
    with serving() as server:
        done = subprocess.run([PROGRAM, "serve", "embedded", "--port", str(server.port)], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 1 and not done.stdout
        assert done.stderr == f"wkv: 127.0.0.1 port {server.port}: Address already in use\n"


@pytest.mark.parametrize("options", [("--port", "70000"), ("--slots", "0"), ("--chat-format", "none"), ("--grace", "-1")])
def test_bad_usage_ends_with_2(options):
    assert subprocess.run([PROGRAM, "serve", "embedded", *options], capture_output=True, timeout=PATIENCE).returncode == 2


def test_a_model_whose_state_grows_is_refused(tmp_path):
    import safetensors.torch

    tensors = safetensors.torch.load_file(ROOT / "tests/data/rwkv4/tiny_att.safetensors")
    weights = {name.removeprefix("w."): tensor for name, tensor in tensors.items() if name.startswith("w.")}
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors")
    command = [PROGRAM, "serve", tmp_path / "model.safetensors", "--port", "0", "--tokenizer", "bytes"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and "grows with the text" in done.stderr


def test_killed_and_started_again_it_takes_the_same_port():
    with serving() as server, server.connect() as client:
        client.sendall(post({"model": "embedded", **ENDLESS}))
        assert client.recv(100)
        server.process.kill()
        server.process.wait()
        with serving(port=server.port) as again:
            assert complete(again.client(), "In the").choices[0].text


def test_told_to_stop_it_ends_what_runs_and_takes_no_more():
    with serving("--grace", PATIENCE) as server:
        stream = complete(server.client(), "In the", max_tokens=2000, stream=True)
        next(stream)
        server.process.send_signal(signal.SIGTERM)
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length"
        assert server.process.wait(PATIENCE) == 0
        with pytest.raises(OSError):
            server.connect()


def test_after_the_grace_time_what_runs_is_told_and_ended():
    with serving("--grace", 0) as server:
        stream = server.client().completions.create(model="embedded", **ENDLESS)
        next(stream)
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(openai.APIError, match="shutting down"):
            list(stream)
        assert server.process.wait(PATIENCE) == 0


def test_a_second_signal_ends_it_at_once():
    with serving("--grace", 100_000) as server:
        stream = server.client().completions.create(model="embedded", **ENDLESS)
        next(stream)
        server.process.send_signal(signal.SIGTERM)
        while server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        assert server.process.returncode == 1


def test_an_idle_server_stops_at_once():
    with serving() as server, server.connect():
        assert server.stop() == 0
