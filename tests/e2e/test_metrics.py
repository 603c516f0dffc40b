"""GET /metrics, read by Prometheus' own client: every family is there, and each is moved by what it counts."""
import threading
import time

import httpx
import openai
import pytest
from conftest import CHAT, EMBED, Server, in_threads
from prometheus_client.parser import text_string_to_metric_families

# Moved in tests of their room: a full queue of 1024 (engine/decoder_endpoint_test), a broken step (the same), a dead target
# (engine/decoder_pool_test).
ELSEWHERE = {"requests_rejected", "requests_failed", "answers_moved", "target_failures"}
# Said once, at the load.
CONSTANT = {"model_memory_bytes", "model_load_seconds", "model_loaded_timestamp_seconds", "model_info", "model_loaded", "model_loads", "model_unloads", "kv_tokens_max", "target_running", "target_starts"}


def scrape(server):
    families = {}
    for family in text_string_to_metric_families(httpx.get(server.url + "/metrics", timeout=30).raise_for_status().text):
        assert family.documentation and family.type in ("counter", "gauge", "histogram")
        families[family.name.removeprefix("ipfs_accelerate_")] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in family.samples}
    return families


@pytest.fixture(scope="module")
def small():
    """Few slots and little KV, so that requests wait, step back and push kept sequences out."""
    server = Server(CHAT, EMBED, "--port", "0", "--slots", "2", "--kv-tokens", "384", "--ctx", "384")
    yield server
    assert server.stop() == 0, server.text()


def test_every_metric_moves(small):
    client = small.client()
    first, seen = scrape(small), {}

    def look():
        for name, samples in scrape(small).items():
            if samples != first.get(name, {}):
                seen[name] = True

    def ask(index, priority=0):
        return client.completions.create(model=CHAT, prompt=f"Story {index}. " + "Once upon a time there was a king. " * 8, max_tokens=150,
                                         temperature=0, extra_body={"ignored": 1, "priority": priority})

    stop = threading.Event()
    watcher = threading.Thread(target=lambda: [look() or time.sleep(0.05) for _ in iter(stop.is_set, True)])
    watcher.start()
    in_threads(6, lambda index: ask(index % 3, priority=index % 2))
    for _ in range(2):  # the second time it is there
        client.completions.create(model=CHAT, prompt="Once upon a time there was a king. " * 8, max_tokens=4, temperature=0)
    with client.completions.create(model=CHAT, prompt="Count: 1 2 3", max_tokens=300, stream=True) as stream:
        next(iter(stream))
    client.embeddings.create(model=EMBED, input="a cat")
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="nobody", prompt="x")
    small.wait_for_load(lambda load: load["running"] == 0, seconds=60)
    stop.set()
    watcher.join()
    look()
    families = set(scrape(small))
    assert CONSTANT <= families and ELSEWHERE <= families
    assert families - set(seen) == CONSTANT | ELSEWHERE, "these did not move, or moved unexpectedly"


def test_what_is_counted_adds_up(small):
    client, model = small.client(), (("model", CHAT),)
    before = scrape(small)
    reply = client.completions.create(model=CHAT, prompt="The capital of France is", max_tokens=5, temperature=0)
    after = scrape(small)

    def grown(family, sample, labels=model):
        return after[family][(f"ipfs_accelerate_{sample}", labels)] - before[family].get((f"ipfs_accelerate_{sample}", labels), 0)

    assert grown("requests", "requests_total") == 1
    assert grown("prompt_tokens", "prompt_tokens_total") == reply.usage.prompt_tokens
    assert grown("completion_tokens", "completion_tokens_total") == reply.usage.completion_tokens
    assert grown("ttft_seconds", "ttft_seconds_count") == 1
    assert grown("tpot_seconds", "tpot_seconds_count") == 1
    assert grown("http_requests", "http_requests_total", (("method", "POST"), ("route", "/v1/completions"), ("status", "200"))) == 1
    assert grown("requests_finished", "requests_finished_total", (("model", CHAT), ("reason", "length"))) == 1
