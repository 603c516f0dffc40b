"""Models that come when they are asked for and go when nobody asks, over HTTP."""

import re
import time

import httpx
import openai
import pytest

from conftest import CHAT, EMBED, Server, in_threads, run_cli


def statuses(server):
    return {model["id"]: model["status"] for model in httpx.get(server.url + "/v1/models", timeout=30).json()["data"]}


def wait_for(server, model, status, seconds=15):
    deadline = time.monotonic() + seconds
    while statuses(server)[model] != status:
        assert time.monotonic() < deadline, f"{model} is not {status}: {statuses(server)}\n{server.text()}"
        time.sleep(0.05)


def metric(server, sample):
    found = re.search(rf"^ipfs_accelerate_{re.escape(sample)} (\S+)$", httpx.get(server.url + "/metrics", timeout=30).text, re.M)
    return float(found.group(1)) if found else None


def ask(server, tokens=8):
    return server.client().completions.create(model=CHAT, prompt="Once upon a time", max_tokens=tokens, temperature=0).choices[0].text


def test_loaded_at_the_first_request_and_unloaded_when_idle():
    server = Server(CHAT, EMBED, "--port", "0", "--on-demand", "--idle-unload", "2", "--pin", EMBED)
    try:
        assert statuses(server) == {CHAT: "unloaded", EMBED: "loaded"}
        assert httpx.get(server.url + "/health", timeout=30).status_code == 200
        texts = in_threads(4, lambda _: ask(server))
        assert len(set(texts)) == 1
        assert metric(server, f'model_loads_total{{model="{CHAT}"}}') == 1, "four asked, one load"
        wait_for(server, CHAT, "unloaded")
        assert statuses(server)[EMBED] == "loaded", "it is pinned"
        assert metric(server, f'model_unloads_total{{model="{CHAT}",reason="idle"}}') == 1
        assert ask(server) == texts[0]
        # A long answer is not idle, and unloading waits for it.
        begun = time.monotonic()
        stream = server.client().completions.create(model=CHAT, prompt="Count: 1 2 3", max_tokens=1500, temperature=0, stream=True,
                                                     extra_body={"logit_bias": {"2": -100, "0": -100}})
        for chunk in stream:
            if time.monotonic() - begun > 4:
                break
            assert statuses(server)[CHAT] == "loaded" if chunk.choices[0].finish_reason is None else True
        stream.close()
    finally:
        assert server.stop() == 0, server.text()


def test_one_makes_room_for_the_other():
    # Both together do not fit: the one not used makes room.
    server = Server(CHAT, EMBED, "--port", "0", "--on-demand", "--memory", "180MB", "--ctx", "512", "--kv-tokens", "1024")
    try:
        first = ask(server)
        assert statuses(server) == {CHAT: "loaded", EMBED: "unloaded"}
        vector = server.client().embeddings.create(model=EMBED, input="words").data[0].embedding
        assert len(vector) == 384
        assert statuses(server) == {CHAT: "unloaded", EMBED: "loaded"}, server.text()
        assert ask(server) == first
        assert metric(server, f'model_unloads_total{{model="{CHAT}",reason="memory"}}') == 1
    finally:
        assert server.stop() == 0, server.text()


def test_what_does_not_load_says_why():
    server = Server(CHAT, EMBED, "--port", "0", "--on-demand", "--memory", "40MB")
    try:
        with pytest.raises(openai.InternalServerError) as refusal:
            ask(server)
        assert "memory" in str(refusal.value).lower()
        health = httpx.get(server.url + "/health", timeout=30)
        assert health.status_code == 503
        assert "memory" in next(model for model in health.json()["models"] if model["id"] == CHAT)["error"].lower()
        with pytest.raises(openai.InternalServerError) as soon:
            ask(server)
        assert "tried again in" in str(soon.value)
    finally:
        assert server.stop() == 0, server.text()


def test_a_pin_names_a_model_that_is_served():
    done = run_cli("serve", EMBED, "--port", "0", "--pin", "nobody")
    assert done.returncode > 0 and "nobody" in done.stderr and EMBED in done.stderr
