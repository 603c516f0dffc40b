"""/v1/admin with the real binary: who may, every route, typos."""
import json
import threading
import time
from urllib.parse import quote

import httpx
import pytest

from conftest import CHAT, EMBED, REQUEST_SECONDS_MAX, START_SECONDS_MAX, Server, run_cli

KEY, ADMIN, OTHER_ADMIN = "sk-e2e-user", "sk-e2e-admin", "sk-e2e-admin-of-a-file"
GETS = ["hardware", "records", "models", f"models/{CHAT}", "endpoints", f"endpoints/{EMBED}"]
POSTS = ["plan", "bench", "endpoints", f"endpoints/{EMBED}/unload"]


def bearer(key):
    return {"authorization": f"Bearer {key}"} if key else {}


@pytest.fixture(scope="module")
def governed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("admin")
    keys = folder / "admins"
    keys.write_text(f"# of the tests\n{OTHER_ADMIN}\n")
    keys.chmod(0o600)
    server = Server(EMBED, "--port", "0", "--api-key", KEY, "--admin-key", ADMIN, "--admin-key-file", keys, "--access-log", folder / "access.log")
    server.access_log = folder / "access.log"
    yield server
    assert server.stop() == 0, server.text()
    everything = server.text() + server.access_log.read_text()
    assert not any(key in everything for key in (KEY, ADMIN, OTHER_ADMIN))


def get(server, path, key=ADMIN):
    return httpx.get(f"{server.url}/v1/admin/{path}", headers=bearer(key), timeout=REQUEST_SECONDS_MAX)


def post(server, path, body, key=ADMIN):
    return httpx.post(f"{server.url}/v1/admin/{path}", json=body, headers=bearer(key), timeout=START_SECONDS_MAX)


def test_without_an_admin_key_all_is_closed(server):
    for answer in [get(server, path) for path in GETS] + [post(server, path, {"model": CHAT}) for path in POSTS]:
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "admin_disabled", answer.text
        assert "--admin-key-file" in answer.json()["error"]["message"]


def test_an_api_key_is_no_admin_key_and_the_other_way_round(governed):
    for key in (None, KEY, ADMIN + "x", "wrong"):
        for answer in [get(governed, path, key) for path in GETS] + [post(governed, path, {"model": EMBED}, key) for path in POSTS]:
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer", answer.text
    assert httpx.get(governed.url + "/v1/models", headers=bearer(ADMIN)).status_code == 401
    assert httpx.get(governed.url + "/v1/models", headers=bearer(KEY)).status_code == 200
    assert get(governed, "models", OTHER_ADMIN).status_code == 200


def test_replies_are_the_objects_of_the_verbs(governed):
    devices = json.loads(run_cli("devices", "--no-measure", "--json").stdout)
    assert get(governed, "hardware").json()["hardware"] == devices["hardware"]
    assert get(governed, "models").json() == json.loads(run_cli("models", "--json").stdout)
    assert get(governed, f"models/{CHAT}").json() == json.loads(run_cli("models", "show", CHAT, "--json").stdout)
    path = json.loads(run_cli("models", "show", CHAT, "--json").stdout)["path"]
    assert get(governed, "models/" + quote(path, safe="")).json()["path"] == path
    wanted = json.loads(run_cli("plan", CHAT, "--use", "rag", "--forbid", "torch", "--memory-max", "4GB", "--json").stdout)
    plan = post(governed, "plan", {"model": CHAT, "use": "rag", "forbid": ["torch"], "memory_bytes_max": 4_000_000_000})
    assert plan.status_code == 200 and plan.json() == wanted, plan.text


def test_a_plan_that_nothing_satisfies_is_an_answer(governed):
    plan = post(governed, "plan", {"model": CHAT, "memory_bytes_max": 1}).json()
    assert plan["best"] is None and not any(target["yes"] for target in plan["targets"])


def test_a_bench_is_measured_and_remembered(governed):
    bench = post(governed, "bench", {"model": CHAT, "targets": ["cpu", "cpu:exact"], "prompt_tokens": 16, "generate_tokens": 4, "rounds": 2})
    assert bench.status_code == 200, bench.text
    bench = bench.json()
    assert [target["label"] for target in bench["targets"]] == ["cpu", "cpu:exact"] and not bench["cancelled"]
    samples = bench["targets"][0]["metrics"]["ttft_ms"]["samples"]
    assert len(samples) == 2 and all(sample > 0 for sample in samples)
    records = get(governed, f"records?kind=bench&limit=1&model_id={bench['model_id']}").json()
    assert len(records["records"]) == 1 and records["cut"]
    records = get(governed, f"records?kind=bench&model_id={bench['model_id']}").json()["records"]
    assert samples in [record["samples"]["ttft_ms"] for record in records]
    assert [model["id"] for model in httpx.get(governed.url + "/v1/models", headers=bearer(KEY)).json()["data"]] == [EMBED]


def test_a_second_bench_waits_its_turn_and_one_without_a_client_ends(governed):
    long_one = {"model": CHAT, "targets": ["cpu"], "prompt_tokens": 512, "generate_tokens": 512, "rounds": 1000}

    def leave():
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{governed.url}/v1/admin/bench", json=long_one, headers=bearer(ADMIN), timeout=3)

    client = threading.Thread(target=leave)
    client.start()
    time.sleep(1)
    second = post(governed, "bench", long_one)
    assert second.status_code == 409 and second.json()["error"]["code"] == "bench_running", second.text
    client.join()
    deadline = time.monotonic() + 30
    while (again := post(governed, "bench", {"model": CHAT, "targets": ["cpu"], "prompt_tokens": 8, "generate_tokens": 2, "rounds": 1})).status_code == 409:
        assert time.monotonic() < deadline, "the bench goes on without its client"
        time.sleep(0.2)
    assert again.status_code == 200, again.text


def test_typos_and_nonsense_are_refused_by_name(governed):
    for path, body, param in [("plan", {"model": CHAT, "objektive": "energy"}, "objektive"), ("plan", {"model": CHAT, "ttft_ms_max": "fast"}, "ttft_ms_max"),
                              ("plan", {}, "model"), ("bench", {"model": CHAT, "rounds": 0}, "rounds"), ("bench", {"model": CHAT, "target": ["cpu"]}, "target")]:
        answer = post(governed, path, body)
        assert answer.status_code == 400 and answer.json()["error"]["param"] == param, answer.text
    assert get(governed, "records?limit=0").status_code == 400
    assert get(governed, "models/no-such-model").status_code == 404
    assert post(governed, "plan", {"model": "no-such-model"}).status_code == 404
    assert get(governed, "plans").status_code == 404 and get(governed, "plan").status_code == 405


def test_the_environment_names_a_key_and_help_shows_none(tmp_path, monkeypatch):
    monkeypatch.setenv("IPFS_ACCELERATE_ADMIN_KEY", ADMIN)
    server = Server(EMBED, "--port", "0")
    try:
        assert get(server, "models").status_code == 200
    finally:
        assert server.stop() == 0
    shown = run_cli("serve", "--help").stdout
    assert "--admin-key-file" in shown and ADMIN not in shown
