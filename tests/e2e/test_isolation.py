"""A model in a worker process: the server outlives whatever becomes of it, and no answer loses or repeats a token.

ISOLATION_REQUESTS says how many requests run under random kill -9 and SIGSTOP (40), ISOLATION_PAUSE how many seconds lie between
two faults at least (8): each failure doubles the wait before the next start, up to a minute.
"""
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import threading
import time

import httpx
import pytest
from conftest import CHAT, Server, in_threads

REQUESTS = int(os.environ.get("ISOLATION_REQUESTS", "40"))
PAUSE = float(os.environ.get("ISOLATION_PAUSE", "8"))
ISOLATED = "cpu-isolated@cpu:0"
FLAGS = ("--port", "0", "--deterministic", "--slots", "8", "--ctx", "512", "--kv-tokens", "4096")


def workers_of(server):
    return server.children("worker")


@pytest.fixture(scope="module")
def isolated():
    server = Server(CHAT, "--isolate", "--fallback", "notify", *FLAGS)
    yield server
    workers = workers_of(server)
    assert server.stop() == 0, server.text()
    for worker in workers:
        assert not os.path.exists(f"/proc/{worker}"), "a worker outlived its server"


@pytest.fixture(scope="module")
def plain():
    server = Server(CHAT, *FLAGS)
    yield server
    assert server.stop() == 0, server.text()


def request(index):
    draw = random.Random(index)
    return {"model": CHAT, "prompt": [[draw.randrange(100, 40000) for _ in range(3 + index % 40)]], "max_tokens": 12 + index % 20,
            "temperature": 0.8 if index % 2 else 0, "seed": index, "ignore_eos": True}


def answer(server, index):
    reply = httpx.post(server.url + "/v1/completions", json=request(index), timeout=240)
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]["text"]


def test_the_same_bits_as_in_the_servers_own_process(isolated, plain):
    assert len(workers_of(isolated)) == 1
    assert not workers_of(plain)
    for index in range(6):
        assert answer(isolated, index) == answer(plain, index)


def test_a_worker_killed_in_mid_stream_loses_nothing_and_is_announced(isolated, plain):
    body = {"model": CHAT, "prompt": "Once upon a time", "max_tokens": 120, "temperature": 0, "stream": True, "ignore_eos": True,
            "stream_options": {"include_usage": True}}
    text, comments, usage, killed = "", [], None, False
    with httpx.stream("POST", isolated.url + "/v1/completions", json=body, timeout=120) as stream:
        for line in stream.iter_lines():
            if line.startswith(":"):
                comments.append(line)
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            assert "error" not in chunk, chunk
            usage = chunk.get("usage") or usage
            text += "".join(choice["text"] for choice in chunk["choices"])
            if not killed and len(text) > 60:
                (worker,) = workers_of(isolated)
                os.kill(worker, signal.SIGKILL)
                killed = True
    assert killed
    body.pop("stream"), body.pop("stream_options")
    whole = httpx.post(plain.url + "/v1/completions", json=body, timeout=120).json()
    assert text == whole["choices"][0]["text"]
    assert usage["completion_tokens"] == whole["usage"]["completion_tokens"] == 120
    assert any(ISOLATED in comment for comment in comments), comments
    metrics = httpx.get(isolated.url + "/metrics", timeout=30).text
    moved = [float(value) for value in re.findall(r"^\S*answers_moved_total\S* (\S+)$", metrics, re.MULTILINE)]
    assert sum(moved) >= 1, metrics


def test_a_worker_that_died_while_nobody_asked_is_replaced(isolated, plain):
    (worker,) = workers_of(isolated)
    os.kill(worker, signal.SIGKILL)
    time.sleep(0.3)
    assert answer(isolated, 3) == answer(plain, 3)
    assert workers_of(isolated) != [worker]


@pytest.fixture
def full_disk(tmp_path, monkeypatch):
    """The records' disk has not one byte left; for who may not mount one, it is no folder at all."""
    disk = tmp_path / "state"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]).returncode != 0:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file" / "state"))
        yield tmp_path
        return
    with open(disk / "everything", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096) == 4096:
            pass
    monkeypatch.setenv("XDG_STATE_HOME", str(disk))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_answers_under_random_death_are_the_fault_free_ones(plain, full_disk):
    server = Server(CHAT, "--isolate", "--starts-max", "1000", *FLAGS)
    try:
        expected = [answer(plain, index) for index in range(REQUESTS)]
        over, faults = threading.Event(), []

        def torment():
            draw = random.Random(7)
            while not over.wait(draw.uniform(PAUSE, 2 * PAUSE)):
                for worker in workers_of(server):
                    fault = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
                    faults.append(fault)
                    os.kill(worker, fault)

        (worker,) = workers_of(server)
        os.kill(worker, signal.SIGKILL)  # one for certain
        tormentor = threading.Thread(target=torment)
        tormentor.start()
        try:
            turns = iter(range(REQUESTS))
            lock, got = threading.Lock(), {}

            def work(_):
                while True:
                    with lock:
                        index = next(turns, None)
                    if index is None:
                        return
                    got[index] = answer(server, index)

            in_threads(8, work)
        finally:
            over.set()
            tormentor.join()
        assert [got[index] for index in range(REQUESTS)] == expected
        print(f"{REQUESTS} answers, {len(faults) + 1} faults")
        assert "nothing is remembered" in server.text(), server.text()
        assert server.process.poll() is None
    finally:
        assert server.stop() == 0, server.text()
