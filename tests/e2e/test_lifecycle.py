import signal
import socket
import threading
import time

import httpx
import openai
import pytest

from conftest import EMBED, Server, run_cli

# MiniLM loads in half a second, so these may have servers of their own.


def test_port_taken_is_a_clear_error():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = run_cli("serve", EMBED, "--port", str(port))
    assert done.returncode not in (0, -signal.SIGABRT, -signal.SIGSEGV)
    assert f"127.0.0.1:{port}" in done.stderr and "taken" in done.stderr


def test_unknown_model_is_a_clear_error():
    done = run_cli("serve", "no-such-model", "--port", "0", "--no-pull")
    assert done.returncode > 0 and "no-such-model" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it_cleanly(how):
    server = Server(EMBED, "--port", "0")
    assert httpx.get(server.url + "/health", timeout=30).status_code == 200
    start = time.monotonic()
    assert server.stop(how) == 0, server.text()
    assert time.monotonic() - start < 5
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/health", timeout=5)


def test_a_kept_connection_does_not_delay_the_end():
    server = Server(EMBED, "--port", "0")
    with httpx.Client(timeout=30) as kept:
        assert kept.get(server.url + "/v1/models").status_code == 200
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 3


def test_running_work_ends_before_the_server():
    server = Server(EMBED, "--port", "0")
    outcome = []

    def work():
        try:
            outcome.append(len(server.client().embeddings.create(model=EMBED, input=["some words to embed"] * 200).data))
        except openai.OpenAIError as problem:
            outcome.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.05)
    assert server.stop() == 0
    thread.join()
    # Either it was in time and is whole, or it was refused in words: never half an answer.
    assert outcome[0] == 200 or isinstance(outcome[0], (openai.APIStatusError, openai.APIConnectionError)), outcome


def test_api_key():
    server = Server(EMBED, "--port", "0", "--api-key", "secret")
    try:
        with pytest.raises(openai.AuthenticationError) as refusal:
            server.client(api_key="wrong").models.list()
        assert refusal.value.code == "invalid_api_key"
        assert [model.id for model in server.client(api_key="secret").models.list()] == [EMBED]
        assert httpx.get(server.url + "/health", timeout=30).status_code == 200
    finally:
        server.stop()
