import json
import socket
import threading

import httpx
import openai
import pytest

from conftest import CHAT, EMBED, REQUEST_SECONDS_MAX

HI = [{"role": "user", "content": "Hi"}]
MIB = 1 << 20


def post(server, path, content, **options):
    return httpx.post(server.url + path, content=content, timeout=REQUEST_SECONDS_MAX, headers={"content-type": "application/json"}, **options)


@pytest.mark.parametrize("options, param", [
    ({"temperature": 3}, "temperature"), ({"temperature": "hot"}, "temperature"), ({"top_p": -1}, "top_p"), ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"), ({"seed": 1.5}, "seed"), ({"stop": ["a"] * 5}, "stop"), ({"stop": ""}, "stop"), ({"n": 0}, "n"),
    ({"top_logprobs": 2}, "top_logprobs"), ({"frequency_penalty": 3}, "frequency_penalty"), ({"logit_bias": {"x": 1}}, "logit_bias"), ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "tools[0].function.name"), ({"tool_choice": "always"}, "tool_choice"), ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"messages": []}, "messages"), ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages[0].content[0].type"),
])
def test_bad_parameters_are_named(client, options, param):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.chat.completions.create(**{"model": CHAT, "messages": HI, **options})
    assert refusal.value.status_code == 400 and refusal.value.param == param
    assert refusal.value.type == "invalid_request_error" and refusal.value.body["message"]


@pytest.mark.parametrize("options, param", [({"best_of": 2}, "best_of"), ({"suffix": "x"}, "suffix"), ({"logprobs": 6}, "logprobs"),
                                            ({"prompt": []}, "prompt"), ({"prompt": [10**8]}, None)])
def test_bad_completion_parameters(client, options, param):
    with pytest.raises(openai.BadRequestError) as refusal:
        client.completions.create(**{"model": CHAT, "prompt": "x", **options})
    assert refusal.value.param == param


def test_unknown_members_are_ignored(client):
    answer = client.chat.completions.create(model=CHAT, messages=HI, max_tokens=1, user="me", metadata={"a": "b"}, extra_body={"unheard_of": 1})
    assert answer.usage.completion_tokens == 1


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as refusal:
        client.chat.completions.create(model="gpt-9", messages=HI)
    assert refusal.value.code == "model_not_found" and refusal.value.param == "model" and CHAT in refusal.value.body["message"]


def test_model_is_required(server):
    response = post(server, "/v1/chat/completions", json.dumps({"messages": HI}))
    assert response.status_code == 400 and response.json()["error"]["param"] == "model"


def test_the_wrong_kind_of_model(client):
    with pytest.raises(openai.APIStatusError) as refusal:
        client.chat.completions.create(model=EMBED, messages=HI)
    assert refusal.value.status_code == 501
    with pytest.raises(openai.APIStatusError) as refusal:
        client.embeddings.create(model=CHAT, input="x")
    assert refusal.value.status_code == 501


@pytest.mark.parametrize("stream", [False, True])
def test_context_overflow_is_an_error_never_cut(server, client, stream):
    words = "word " * (server.load()["context"] + 100)
    with pytest.raises(openai.BadRequestError) as refusal:
        client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": words}], stream=stream)
    assert refusal.value.code == "context_length_exceeded" and refusal.value.param == "messages"
    with pytest.raises(openai.BadRequestError) as refusal:
        client.completions.create(model=CHAT, prompt=[100] * server.load()["context"], stream=stream)
    assert refusal.value.code == "context_length_exceeded" and refusal.value.param == "prompt"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model":"\xff\xfe"}', b'{"model":1e999}', b"[" * 1_000_000,
                                  b'{"a":' * 100_000, b"\x00" * 1000, b'{"model":"smollm2","messages":[{"role":"user","content":"\\ud800"}]}'])
def test_hostile_bodies(server, body):
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
        response = post(server, path, body)
        assert response.status_code == 400, path
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_routes_and_methods(server):
    assert httpx.get(server.url + "/nowhere").status_code == 404
    wrong = httpx.get(server.url + "/v1/completions")
    assert wrong.status_code == 405 and "POST" in wrong.headers["allow"] and wrong.json()["error"]["code"] == "method_not_allowed"
    assert httpx.head(server.url + "/v1/models").status_code == 200
    assert httpx.options(server.url + "/v1/models").status_code == 204


def test_not_http_at_all(server):
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_others_are_served_while_oversized_and_malformed_bodies_come(server, client):
    prompt = {"model": CHAT, "prompt": "1 2 3 4 5 6", "temperature": 0, "max_tokens": 60}
    alone = client.completions.create(**prompt).choices[0].text
    streamed = []

    def answer():
        streamed.append("".join(chunk.choices[0].text for chunk in client.completions.create(**prompt, stream=True)))

    thread = threading.Thread(target=answer)
    thread.start()
    huge = post(server, "/v1/chat/completions", b"x" * (100 * MIB))
    assert huge.status_code == 413 and huge.json()["error"]["message"]
    for body in (b"{", b'{"model":"\xff"}', b"[" * 100_000):
        assert post(server, "/v1/chat/completions", body).status_code == 400
    thread.join()
    assert streamed == [alone]
