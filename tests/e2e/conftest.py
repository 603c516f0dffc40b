"""The real binary, serving real models, driven by the official OpenAI client.

The binary is build/release/ipfs-accelerate or IPFS_ACCELERATE_BINARY; models come through its own `pull`.
"""
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import httpx
import openai
import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("IPFS_ACCELERATE_BINARY", ROOT / "build/release/ipfs-accelerate"))
CHAT, EMBED = "smollm2", "minilm"
START_SECONDS_MAX = 300  # a first start may have to fetch the models
REQUEST_SECONDS_MAX = 120
# Measurements and verdicts of a test run are no business of the user's.
STATE = tempfile.TemporaryDirectory(prefix="ipfs-accelerate-e2e-state-")
os.environ["XDG_STATE_HOME"] = STATE.name


def run_cli(*arguments, timeout=START_SECONDS_MAX):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def token_ids(text):
    done = run_cli("tokenize", CHAT, "--ids", text)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


class Server:
    """One `ipfs-accelerate serve`, from its announcement to its end."""

    def __init__(self, *arguments):
        self.log = tempfile.NamedTemporaryFile("w+", prefix="ipfs-accelerate-e2e-", suffix=".log")
        self.process = subprocess.Popen([BINARY, "serve", *arguments], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self.url = self._wait_until_listening()

    def text(self):
        return Path(self.log.name).read_text(errors="replace")

    def _wait_until_listening(self):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            found = re.search(r"listening on (https?://\S+)", self.text())
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode} before it listened:\n{self.text()}")
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"serve did not listen within {START_SECONDS_MAX} s:\n{self.text()}")

    def stop(self, how=signal.SIGTERM, timeout=30):
        """Sends the signal and returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def client(self, **more):
        return openai.OpenAI(**{"base_url": self.url + "/v1", "api_key": "unused", "max_retries": 0, "timeout": REQUEST_SECONDS_MAX, **more})

    def health(self):
        return httpx.get(self.url + "/health", timeout=30).json()

    def load(self, model=CHAT):
        return next(entry for entry in self.health()["models"] if entry["id"] == model)

    def wait_for_load(self, condition, seconds=10, model=CHAT):
        """The first load that meets `condition`, or an assertion with the last one seen."""
        deadline = time.monotonic() + seconds
        while True:
            load = self.load(model)
            if condition(load):
                return load
            assert time.monotonic() < deadline, f"not within {seconds} s: {load}"
            time.sleep(0.01)


    def children(self, word):
        """Process ids of the server's own children that have `word` in their command."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                parent = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
                command = Path(f"/proc/{entry}/cmdline").read_text()
            except (OSError, IndexError, ValueError):
                continue  # it has ended meanwhile
            if parent == self.process.pid and word in command:
                found.append(int(entry))
        return found


@pytest.fixture(scope="session")
def server():
    if not BINARY.exists():
        pytest.fail(f"no binary at {BINARY}: build it, or set IPFS_ACCELERATE_BINARY")
    server = Server(CHAT, EMBED, "--port", "0")
    yield server
    assert server.process.poll() is None, f"the server died during the tests:\n{server.text()}"
    assert server.stop() == 0, server.text()


@pytest.fixture(autouse=True)
def server_stays_alive(request):
    """Whatever a test does to the shared server, it is alive and idle afterwards."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        assert server.process.poll() is None, f"the server died:\n{server.text()}"
        server.wait_for_load(lambda load: load["running"] == 0 and load["queued"] == 0, seconds=30)


@pytest.fixture
def client(server):
    return server.client()


def in_threads(count, work):
    """work(index) on `count` threads at once; results in order, the first exception re-raised."""
    results, problems = [None] * count, []

    def one(index):
        try:
            results[index] = work(index)
        except BaseException as problem:  # noqa: BLE001 - handed to the caller
            problems.append(problem)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return results
