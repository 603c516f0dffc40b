"""Models that come, go and change their target while a real server serves: /v1/admin/endpoints and the verb `endpoints`."""
import json
import threading
import time

import httpx
import openai
import pytest

from conftest import CHAT, EMBED, START_SECONDS_MAX, Server, in_threads, run_cli

ADMIN = "sk-e2e-endpoints"
HERE, APART = "cpu@cpu:0", "cpu-isolated@cpu:0"
GREEDY = {"messages": [{"role": "user", "content": "Count from one to ten in words."}], "temperature": 0, "max_tokens": 40}


class Governed(Server):
    def admin(self, method, path, body=None):
        return httpx.request(method, f"{self.url}/v1/admin/{path}", json=body, headers={"authorization": f"Bearer {ADMIN}"}, timeout=START_SECONDS_MAX)

    def add(self, **body):
        answer = self.admin("POST", "endpoints", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self):
        return [entry["name"] for entry in self.admin("GET", "endpoints").json()["endpoints"]]

    def verb(self, *arguments):
        return run_cli("endpoints", *arguments, "--url", self.url, "--admin-key-file", self.key_file)


@pytest.fixture(scope="module")
def governed(tmp_path_factory):
    key_file = tmp_path_factory.mktemp("endpoints") / "admin.key"
    key_file.write_text(ADMIN + "\n")
    key_file.chmod(0o600)
    server = Governed(EMBED, "--port", "0", "--admin-key-file", key_file)
    server.key_file = key_file
    yield server
    assert server.stop() == 0, server.text()
    assert ADMIN not in server.text()


def test_a_second_model_is_loaded_and_answers(governed):
    added = governed.add(model=CHAT, name="second", slots=2, context=1024)
    assert added["state"] == "loaded" and added["about"]["context"] == 1024 and added["about"]["target"] == HERE, added
    try:
        client = governed.client()
        assert {model.id for model in client.models.list()} == {EMBED, "second"}
        answer = client.chat.completions.create(model="second", **GREEDY)
        assert answer.choices[0].message.content and answer.model == "second"
        listed = governed.admin("GET", "endpoints/second").json()
        assert listed["stats"]["requests"] >= 1 and listed["targets"][0]["target"] == HERE and listed["in_use"] == 0, listed
        taken = governed.admin("POST", "endpoints", {"model": CHAT, "name": "second"})
        assert taken.status_code == 409, taken.text
        unloaded = governed.admin("POST", "endpoints/second/unload")
        assert unloaded.json()["state"] == "unloaded" and unloaded.json()["about"] is None, unloaded.text
        again = client.chat.completions.create(model="second", **GREEDY)  # loads it
        assert again.choices[0].message.content
        assert governed.admin("GET", "endpoints/second").json()["loads"] == 2
    finally:
        assert governed.admin("DELETE", "endpoints/second").json() == {"removed": "second"}
    with pytest.raises(openai.NotFoundError) as gone:
        governed.client().chat.completions.create(model="second", **GREEDY)
    assert gone.value.code == "model_not_found" and governed.names() == [EMBED]


def test_a_switch_drops_nothing_and_changes_no_token(governed):
    governed.add(model=CHAT, name="moving", targets=[HERE, APART], deterministic=True, slots=4, context=1024)
    switched = threading.Event()

    def stream():
        chunks = list(governed.client().chat.completions.create(model="moving", stream=True, **GREEDY))
        assert chunks[-1].choices[0].finish_reason in ("stop", "length"), chunks[-1]
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), chunks[-1].model_extra["ipfs_accelerate"]["served_by"]

    def client(index):
        if index == 4:
            try:
                for target in (APART, HERE, APART):
                    deadline = time.monotonic() + 60  # a target that still ends answers of before can not be gone back to yet
                    while (answer := governed.admin("POST", "endpoints/moving/switch", {"target": target})).status_code == 503:
                        assert "answers of before" in answer.text and time.monotonic() < deadline, answer.text
                        time.sleep(0.1)
                    assert answer.status_code == 200, answer.text
                    stream()
            finally:
                switched.set()
            return []
        answers = [stream()]
        while not switched.is_set():
            answers.append(stream())
        return answers + [stream()]

    try:
        answers = sum(in_threads(5, client), [])
        texts, targets = {text for text, _ in answers}, {target for _, target in answers}
        assert len(texts) == 1 and len(answers) >= 8, (len(answers), texts)
        assert targets == {HERE, APART}, targets
        moved = governed.admin("GET", "endpoints/moving").json()
        assert moved["stats"]["failed"] == 0 and moved["stats"]["rejected"] == 0, moved["stats"]
        unknown = governed.admin("POST", "endpoints/moving/switch", {"target": "cuda@cuda:0"})
        assert unknown.status_code == 404 and HERE in unknown.text, unknown.text
    finally:
        assert governed.admin("DELETE", "endpoints/moving").status_code == 200


def test_what_can_not_be_loaded_says_why_and_is_not_kept(governed, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(64))
    for body, cause in [({"model": str(broken)}, "gguf"), ({"model": "no-such-model"}, "no-such-model"), ({"model": CHAT, "hardware": "abacus"}, "abacus"),
                        ({"model": CHAT, "targets": ["cuda@cuda:0"]}, "cuda@cuda:0"), ({"model": CHAT, "slotts": 2}, "slotts")]:
        answer = governed.admin("POST", "endpoints", body)
        assert answer.status_code >= 400 and cause in answer.json()["error"]["message"], (body, answer.text)
        assert governed.names() == [EMBED], body


def test_the_verb(governed):
    table = governed.verb()
    assert table.returncode == 0 and EMBED in table.stdout and "loaded" in table.stdout, table.stderr
    loaded = governed.verb("load", CHAT, "--name", "by verb", "--slots", "1", "--pin", "--json")
    assert loaded.returncode == 0 and json.loads(loaded.stdout)["pinned"] is True, loaded.stderr
    assert governed.client().chat.completions.create(model="by verb", **GREEDY).choices[0].message.content
    assert json.loads(governed.verb("unload", "by verb", "--json").stdout)["state"] == "unloaded"
    assert json.loads(governed.verb("load", "by verb", "--json").stdout)["loads"] == 2
    assert governed.verb("load", CHAT, "--name", "by verb").returncode == 5
    assert governed.verb("switch", "by verb", "cuda@cuda:0").returncode == 4
    assert governed.verb("remove", "by verb").stdout == "by verb is removed\n"
    assert governed.names() == [EMBED]


def test_the_verb_without_a_server_or_a_key(governed, tmp_path):
    wrong = tmp_path / "wrong.key"
    wrong.write_text("sk-wrong\n")
    refused = run_cli("endpoints", "--url", governed.url, "--admin-key-file", wrong)
    assert refused.returncode == 15 and "admin key" in refused.stderr and "sk-wrong" not in refused.stderr, refused.stderr
    nobody = run_cli("endpoints", "--url", "http://127.0.0.1:9", "--admin-key-file", wrong)
    assert nobody.returncode == 13 and "ipfs-accelerate serve" in nobody.stderr, nobody.stderr
    keyless = run_cli("endpoints", "--url", governed.url)
    assert keyless.returncode == 2 and "--admin-key-file" in keyless.stderr, keyless.stderr
