"""A hub of our own on this machine, for tests: serves a folder as the hub serves its repositories, and misbehaves when told to.

    with HubServer(folder) as hub:  # folder/OWNER/NAME/PATH, and folder/files/PATH for plain files
        environment = hub.environment(cache)  # HF_ENDPOINT, HF_HOME, ...: for a program that is to use it
        hub.misbehave(lambda answer: setattr(answer, "cut_after", 1000))  # the next transfer breaks off

Large files (`LFS_SUFFIXES`) are redirected to a second port, as the hub redirects them to another host.
"""
import hashlib
import os
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LFS_SUFFIXES = {".pth", ".bin", ".safetensors"}
CHUNK = 4096


@dataclass
class Answer:
    """What is sent for a request; a fault changes it before it is."""

    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    file: bytes = b""  # all of it, whatever range was asked for
    with_length: bool = True
    cut_after: int | None = None  # bytes of the body; then the connection is closed
    stall_after: int | None = None  # bytes of the body; then nothing more comes
    bytes_per_second: int | None = None
    raw: bytes | None = None  # instead of all the others


@dataclass
class Request:
    """What came, and what was sent of the body."""

    method: str
    target: str
    headers: dict
    port: int
    time: float
    status: int = 0
    sent: int = 0

    @property
    def path(self):
        return unquote(urlsplit(self.target).path)


class HubServer:
    def __init__(self, folder, certificate=None, token=None):
        """certificate: (certificate, key) files, for https; token: the one without which everything is refused."""
        self.folder, self.token, self.scheme = Path(folder), token, "https" if certificate else "http"
        self.requests, self.open = [], True
        self._faults, self._lock = [], threading.Lock()
        self._servers = [self._listen(certificate) for _ in ("the hub", "where its large files are")]
        self.port, self.cdn_port = (server.server_address[1] for server in self._servers)

    def __enter__(self):
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.open = False
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def environment(self, home, **more):
        """The variables of a process that is to know this hub alone, and keeps what it fetches under `home`."""
        foreign = ("HF_", "WKV_", "XDG_", "HUGGINGFACE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_")
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
        own = {"HOME": str(home), "HF_HOME": f"{home}/hf", "XDG_CACHE_HOME": f"{home}/cache", "HF_ENDPOINT": self.url}
        return kept | own | {"WKV_RETRY_DELAY": "0.01"} | {name: str(value) for name, value in more.items()}

    def commit(self, repository):
        """The only one of a repository: of its files' names and contents."""
        digest = hashlib.sha1(repository.encode())
        for path in sorted(path for path in (self.folder / repository).rglob("*") if path.is_file()):
            digest.update(path.relative_to(self.folder).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()

    def contents(self, file):
        return (self.folder / file["repository"] / file["path"]).read_bytes()

    def misbehave(self, fault, times=1, method="GET", path=""):
        """fault(answer) changes the answer to the next requests, by their method, whose path contains `path`."""
        self._faults.append({"change": fault, "times": times, "method": method, "path": path})

    def transfers(self):
        """The requests that were answered with a part of a file."""
        return [request for request in self.requests if request.method == "GET" and request.status in (200, 206)]

    # --- how it is answered

    def answer(self, request):
        first, _, rest = request.path.removeprefix("/").partition("/")
        if first == "cdn":
            answer = self._file(rest)
        elif first == "files":
            answer = self._file(f"files/{rest}")
        elif self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            answer = Answer(401, {"X-Error-Code": "GatedRepo"})
        else:
            answer = self._resolve(request.path)
        if answer.status == 200:
            self._apply_range(answer, request.headers.get("range"))
        with self._lock:
            due = [fault for fault in self._faults if fault["times"] and fault["method"] == request.method and fault["path"] in request.path]
            for fault in due:
                fault["times"] -= 1
        for fault in due:
            fault["change"](answer)
        return answer

    def _file(self, path):
        file = self.folder / path
        if ".." in path or not file.is_file():
            return Answer(404, {"X-Error-Code": "EntryNotFound"})
        contents = file.read_bytes()
        return Answer(200, {"Accept-Ranges": "bytes"}, contents, contents)

    def _resolve(self, target):
        parts = target.removeprefix("/").split("/", 4)
        if len(parts) < 5 or parts[2] != "resolve" or not (self.folder / parts[0] / parts[1]).is_dir():
            return Answer(404, {"X-Error-Code": "RepoNotFound"})
        repository, revision, path = f"{parts[0]}/{parts[1]}", parts[3], parts[4]
        commit = self.commit(repository)
        if revision not in ("main", commit):
            return Answer(404, {"X-Error-Code": "RevisionNotFound"})
        answer = self._file(f"{repository}/{path}")
        answer.headers["X-Repo-Commit"] = commit
        if answer.status != 200:
            return answer
        if Path(path).suffix not in LFS_SUFFIXES:
            blob = b"blob %d\0" % len(answer.body) + answer.body
            answer.headers["ETag"] = f'"{hashlib.sha1(blob).hexdigest()}"'
            return answer
        linked = {"X-Linked-Size": str(len(answer.body)), "X-Linked-Etag": f'"{hashlib.sha256(answer.body).hexdigest()}"'}
        location = f"{self.scheme}://127.0.0.1:{self.cdn_port}/cdn/{repository}/{path}?signature=secret"
        return Answer(302, {"X-Repo-Commit": commit, "Location": location, **linked})

    @staticmethod
    def _apply_range(answer, wanted):
        if not wanted:
            return
        first = int(wanted.removeprefix("bytes=").split("-")[0])
        size = len(answer.body)
        if first >= size:
            answer.status, answer.body = 416, b""
            answer.headers["Content-Range"] = f"bytes */{size}"
        else:
            answer.status, answer.body = 206, answer.body[first:]
            answer.headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"

    def _listen(self, certificate):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            log_message = lambda *_: None

            def do_GET(self):
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, self.server.server_address[1], time.monotonic())
                hub.requests.append(request)
                answer = hub.answer(request)
                request.status = answer.status
                try:
                    self.send(answer, request)
                except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    self.close_connection = True

            do_HEAD = do_GET

            def send(self, answer, request):
                if answer.raw is not None:
                    self.wfile.write(answer.raw)
                    self.close_connection = True
                    return
                if answer.with_length:
                    answer.headers.setdefault("Content-Length", str(len(answer.body)))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if request.method == "HEAD":
                    return
                ends = [end for end in (answer.cut_after, answer.stall_after) if end is not None]
                body = answer.body[: min(ends, default=len(answer.body))]
                for start in range(0, len(body), CHUNK):
                    chunk = body[start : start + CHUNK]
                    self.wfile.write(chunk)
                    request.sent += len(chunk)
                    if answer.bytes_per_second:
                        time.sleep(len(chunk) / answer.bytes_per_second)
                while answer.stall_after is not None and hub.open:
                    time.sleep(0.02)
                if ends or not answer.with_length or int(answer.headers["Content-Length"]) != len(answer.body):
                    self.close_connection = True

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_):  # a client that is killed, or refuses our certificate, is no news
                pass

        server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server
