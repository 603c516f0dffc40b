"""Models by their name on a hub, through the real binary: a hub of our own that cuts connections, in front of SmolLM2's file."""
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from conftest import BINARY, CHAT, START_SECONDS_MAX, run_cli

COMMIT = "c" * 40


class Hub:
    """The routes of a Hugging Face hub over `files`; bodies end after a random number of bytes, `cuts` times."""

    def __init__(self, files, cuts=0, slow=0.0):
        hub = self
        self.files, self.cuts, self.slow, self.sent, self.tokens = files, cuts, slow, 0, set()
        self.random = random.Random(1)

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                hub.tokens.add(self.headers.get("Authorization"))
                if self.path.startswith("/api/models/org/tiny/revision/main"):
                    text = json.dumps({"sha": COMMIT, "siblings": [{"rfilename": name} for name in hub.files]}).encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    return self.wfile.write(text)
                found = re.fullmatch(r"/org/tiny/resolve/" + COMMIT + "/(.*)", self.path)
                if not found or found.group(1) not in hub.files:
                    self.send_response(403 if "/gated/" in self.path else 404)
                    if "/gated/" in self.path:
                        self.send_header("X-Error-Code", "GatedRepo")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
                return self.content(hub.files[found.group(1)], body)

            def content(self, data, body):
                start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(start.group(1)) if start else 0
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - start))
                self.send_header("X-Linked-Size", str(len(data)))
                self.send_header("X-Linked-ETag", '"' + hashlib.sha256(data).hexdigest() + '"')
                self.end_headers()
                if not body:
                    return
                end = len(data)
                if hub.cuts > 0:
                    hub.cuts -= 1
                    end = hub.random.randint(start, min(len(data), start + (16 << 20)))
                for at in range(start, end, 1 << 20):
                    hub.sent += self.wfile.write(data[at:min(end, at + (1 << 20))])
                    time.sleep(hub.slow)
                self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def environment(self, cache, **more):
        return os.environ | {"HF_ENDPOINT": self.url, "HF_HUB_CACHE": str(cache), "HF_TOKEN": "secret-token", **more}


@pytest.fixture(scope="module")
def model_bytes():
    done = run_cli("pull", CHAT)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip()).read_bytes()


def cli(environment, *arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=START_SECONDS_MAX, stdin=subprocess.DEVNULL, env=environment)


def test_cut_connections_give_the_exact_bytes_and_the_model_runs(tmp_path, model_bytes):
    hub = Hub({"README.md": b"# tiny", "tiny-q4.gguf": model_bytes}, cuts=6)
    done = cli(hub.environment(tmp_path), "run", "hf:org/tiny", "What is the capital of France?", "--max-tokens", "8", "--json")
    assert done.returncode == 0, done.stderr
    assert "fetching it from " + hub.url in done.stderr
    answer = json.loads(done.stdout)
    assert answer["model"] == "tiny-q4"
    known = run_cli("run", CHAT, "What is the capital of France?", "--max-tokens", "8", "--json")
    assert answer["text"] == json.loads(known.stdout)["text"]
    blob = tmp_path / "models--org--tiny" / "blobs" / hashlib.sha256(model_bytes).hexdigest()
    assert blob.read_bytes() == model_bytes
    assert hub.sent == len(model_bytes), "no byte is asked for twice"
    assert hub.tokens == {"Bearer secret-token"}
    hub.server.shutdown()
    again = cli(hub.environment(tmp_path, HF_HUB_OFFLINE="1"), "models", "show", "hf:org/tiny", "--json")
    assert again.returncode == 0, again.stderr
    assert cli(hub.environment(tmp_path, HF_HUB_OFFLINE="1"), "pull", "hf:org/tiny").stdout.strip().endswith("tiny-q4.gguf")


def test_ctrl_c_keeps_what_came(tmp_path, model_bytes):
    hub = Hub({"tiny.gguf": model_bytes}, slow=0.2)
    process = subprocess.Popen([BINARY, "pull", "hf:org/tiny"], env=hub.environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while hub.sent < (4 << 20) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert time.monotonic() - start < 5
    partial = next((tmp_path / "models--org--tiny" / "blobs").glob("*.incomplete"))
    kept = partial.read_bytes()
    assert kept and model_bytes.startswith(kept)
    hub.slow, hub.sent = 0, 0
    done = cli(hub.environment(tmp_path), "pull", "hf:org/tiny")
    assert done.returncode == 0, done.stderr
    assert hub.sent == len(model_bytes) - len(kept)
    assert Path(done.stdout.strip()).read_bytes() == model_bytes


def test_refusals_are_clear(tmp_path):
    hub = Hub({"a-q4.gguf": b"x", "a-q8.gguf": b"y"})
    several = cli(hub.environment(tmp_path), "pull", "hf:org/tiny")
    assert several.returncode == 2 and "a-q4.gguf, a-q8.gguf" in several.stderr
    offline = cli(hub.environment(tmp_path, HF_HUB_OFFLINE="1"), "pull", "hf:org/tiny:a-q4.gguf")
    assert offline.returncode == 13 and "HF_HUB_OFFLINE" in offline.stderr
    evil = cli(hub.environment(tmp_path), "pull", "hf:org/tiny:../../evil")
    assert evil.returncode == 2
    gated = cli(hub.environment(tmp_path), "pull", "hf:org/gated")
    assert gated.returncode in (4, 6) and hub.url + "/org/gated" in gated.stderr
    assert "secret-token" not in several.stderr + offline.stderr + evil.stderr + gated.stderr
    not_pulled = cli(hub.environment(tmp_path), "run", "hf:org/tiny:a-q4.gguf", "x", "--no-pull")
    assert not_pulled.returncode == 4 and "ipfs-accelerate pull hf:org/tiny:a-q4.gguf" in not_pulled.stderr
