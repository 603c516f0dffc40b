"""Two servers: B relays to A's model. An official client cannot tell the text apart; A's death in the middle is said."""
import os
import signal
import subprocess

import httpx
import openai
import pytest

from conftest import BINARY, CHAT, START_SECONDS_MAX, Server, in_threads, run_cli

MESSAGES = [{"role": "user", "content": "Name three rivers and say where they are."}]


@pytest.fixture(scope="module")
def pair():
    a = Server(CHAT, "--port", "0")
    b = Server(f"far=relay:a/{CHAT}", "--relay", f"a={a.url}", "--port", "0")
    yield a, b
    assert b.stop() == 0, b.text()
    assert a.stop() == 0, a.text()


def streamed(client, model, **more):
    text, last, usage = "", None, None
    for chunk in client.chat.completions.create(model=model, messages=MESSAGES, temperature=0, stream=True, stream_options={"include_usage": True}, **more):
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            last = chunk.choices[0].finish_reason or last
        usage = chunk.usage or usage
    return text, last, usage


def test_the_text_is_the_upstreams_own(pair):
    a, b = pair
    near, far = streamed(a.client(), CHAT, max_tokens=48), streamed(b.client(), "far", max_tokens=48)
    assert far[0] and far[0] == near[0]
    assert far[1] == near[1] == "length"
    assert far[2].completion_tokens == near[2].completion_tokens == 48 and far[2].prompt_tokens == near[2].prompt_tokens
    whole = b.client().chat.completions.create(model="far", messages=MESSAGES, temperature=0, max_tokens=48)
    assert whole.choices[0].message.content == near[0]
    raw = b.client().completions.create(model="far", prompt="Once upon a time", temperature=0, max_tokens=12)
    assert raw.choices[0].text == a.client().completions.create(model=CHAT, prompt="Once upon a time", temperature=0, max_tokens=12).choices[0].text
    assert [model.id for model in b.client().models.list()] == ["far"]
    assert httpx.post(b.url + "/v1/chat/completions", json={"model": "far", "messages": MESSAGES, "max_tokens": 1}).headers["ipfs-accelerate-target"] == "relay@a"


def test_many_at_once(pair):
    a, b = pair
    near = streamed(a.client(), CHAT, max_tokens=12)[0]
    assert all(text == near for text, _, _ in in_threads(6, lambda _: streamed(b.client(), "far", max_tokens=12)))


def test_a_client_that_leaves_frees_the_upstream(pair):
    a, b = pair
    stream = b.client().chat.completions.create(model="far", messages=MESSAGES, stream=True, max_tokens=2000)
    next(iter(stream))
    assert a.load()["running"] == 1
    stream.close()
    a.wait_for_load(lambda load: load["running"] == 0)
    b.wait_for_load(lambda load: load["running"] == 0, model="far")


def test_refusals_keep_their_status_and_words(pair):
    _, b = pair
    with pytest.raises(openai.APIStatusError) as refused:
        b.client().chat.completions.create(model="far", messages=MESSAGES, logprobs=True)
    assert refused.value.status_code == 501 and "logprobs" in str(refused.value)
    with pytest.raises(openai.BadRequestError) as long:
        b.client().chat.completions.create(model="far", messages=[{"role": "user", "content": "word " * 20000}])
    assert long.value.code == "context_length_exceeded", long.value


def test_the_command_line_relays_too(pair):
    a, _ = pair
    far = run_cli("run", f"relay:a/{CHAT}", "What is the capital of France?", "--max-tokens", "8", "--relay", f"a={a.url}")
    near = run_cli("run", CHAT, "What is the capital of France?", "--max-tokens", "8")
    assert far.returncode == 0, far.stderr
    assert far.stdout == near.stdout
    missing = run_cli("run", "relay:a/none", "x", "--relay", f"a={a.url}")
    assert missing.returncode == 4 and CHAT in missing.stderr
    unknown = run_cli("run", "relay:b/none", "x", "--relay", f"a={a.url}")
    assert unknown.returncode == 4 and "--relay b=" in unknown.stderr
    gone = run_cli("run", "relay:a/none", "x", "--relay", "a=http://127.0.0.1:1")
    assert gone.returncode == 13 and "127.0.0.1:1" in gone.stderr


def test_a_key_travels_from_the_environment():
    keyed = subprocess.Popen([BINARY, "serve", CHAT, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                             env=os.environ | {"IPFS_ACCELERATE_API_KEY": "sk-a"})
    try:
        url = next(line.split("listening on ")[1].strip() for line in keyed.stdout if "listening on " in line)
        ask = [BINARY, "run", f"relay:my-a/{CHAT}", "Hi", "--max-tokens", "4", "--relay", f"my-a={url}"]
        refused = subprocess.run(ask, capture_output=True, text=True, timeout=START_SECONDS_MAX, stdin=subprocess.DEVNULL)
        assert refused.returncode == 13 and "IPFS_ACCELERATE_RELAY_" in refused.stderr
        taken = subprocess.run(ask, capture_output=True, text=True, timeout=START_SECONDS_MAX, stdin=subprocess.DEVNULL, env=os.environ | {"IPFS_ACCELERATE_RELAY_MY_A_KEY": "sk-a"})
        assert taken.returncode == 0 and taken.stdout.strip(), taken.stderr
        assert "sk-a" not in taken.stderr + refused.stderr
    finally:
        keyed.terminate()
        keyed.wait(30)


def test_kill_9_in_the_middle_is_a_clear_error():
    a = Server(CHAT, "--port", "0")
    b = Server(f"relay:a/{CHAT}", "--relay", f"a={a.url}", "--port", "0")
    text = ""
    with pytest.raises(openai.APIError) as problem:
        for chunk in b.client().chat.completions.create(model=CHAT, messages=MESSAGES, temperature=0, stream=True, max_tokens=2000):
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            if len(text) > 20 and a.process.poll() is None:
                a.process.send_signal(signal.SIGKILL)
                a.process.wait(30)
    assert "[relay] a " in str(problem.value) and "in the middle" in str(problem.value)
    with pytest.raises(openai.APIStatusError) as refused:
        b.client().chat.completions.create(model=CHAT, messages=MESSAGES)
    assert refused.value.status_code == 503 and "127.0.0.1" in str(refused.value)
    assert b.stop() == 0, b.text()
