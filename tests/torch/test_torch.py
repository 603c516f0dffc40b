"""torch as a user meets it: installed by `install torch`, run by name, and left in the middle of an answer."""
import importlib.util
import json
import os
import signal
from pathlib import Path

import httpx
import pytest

E2E = Path(__file__).resolve().parents[1] / "e2e/conftest.py"
spec = importlib.util.spec_from_file_location("e2e_conftest", E2E)
e2e = importlib.util.module_from_spec(spec)
spec.loader.exec_module(e2e)
TORCH, CPU, ISOLATED = "torch@cpu:0", "cpu@cpu:0", "cpu-isolated@cpu:0"


def run_json(*arguments):
    done = e2e.run_cli(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_install_lists_it_and_devices_proves_it():
    (torch,) = [engine for engine in run_json("install")["engines"] if engine["name"] == "torch"]
    assert torch["installed"]
    assert "torch" in e2e.run_cli("devices").stdout


def test_it_says_what_cpu_says():
    question = ("run", e2e.CHAT, "What is the capital of France?", "--max-tokens", "16", "--precision", "exact")
    torch, cpu = run_json(*question, "--hardware", "torch"), run_json(*question, "--hardware", "cpu")
    assert torch["target"] == TORCH and cpu["target"] == CPU
    assert torch["text"] == cpu["text"] == "The capital of France is Paris."
    assert torch["tokens"] == cpu["tokens"]


def test_it_embeds_as_cpu_does():
    torch = run_json("embed", e2e.EMBED, "a cat", "--hardware", "torch")
    cpu = run_json("embed", e2e.EMBED, "a cat", "--hardware", "cpu")
    assert torch["target"] == TORCH and cpu["target"] == CPU
    a, b = torch["embeddings"][0], cpu["embeddings"][0]
    assert sum(x * y for x, y in zip(a, b)) > 0.9999


@pytest.mark.parametrize("dying, process, heir, hardware", [(TORCH, "torch_worker.py", CPU, "cpu"), (ISOLATED, "worker\0", TORCH, "torch")])
def test_an_answer_moves_on_when_its_target_is_killed(dying, process, heir, hardware):
    """Tokens before the switch stay; every later one is the heir's own most likely token behind that very text."""
    server = e2e.Server(e2e.CHAT, "--port", "0", "--together", f"{dying},{heir}", "--precision", "exact", "--fallback", "notify", "--ctx", "512")
    try:
        prompt = e2e.token_ids("Once upon a time, there was a")
        body = {"model": e2e.CHAT, "prompt": [prompt], "max_tokens": 60, "temperature": 0, "ignore_eos": True, "stream": True,
                "stream_options": {"include_usage": True}}
        pieces, comments, usage, killed = [], [], {}, False
        with httpx.stream("POST", server.url + "/v1/completions", json=body, timeout=240) as stream:
            assert stream.status_code == 200
            for line in stream.iter_lines():
                if line.startswith(":"):
                    comments.append(line)
                if not line.startswith("data: {"):
                    continue
                chunk = json.loads(line[6:])
                assert "error" not in chunk, chunk
                usage = chunk if chunk.get("usage") else usage
                pieces += [choice["text"] for choice in chunk["choices"] if choice["text"]]
                if not killed and len(pieces) == 10:
                    os.kill(*server.children(process), signal.SIGKILL)
                    killed = True
        assert killed and any(dying in comment and heir in comment for comment in comments), comments
        assert usage["usage"]["completion_tokens"] == 60
        served = usage["ipfs_accelerate"]["served"][0]["ranges"]
    finally:
        assert server.stop() == 0, server.text()
    assert [part["target"] for part in served] == [dying, heir]
    assert served[0]["tokens"] + served[1]["tokens"] == 60 and served[1]["first_token"] == served[0]["tokens"] >= 9
    answer = e2e.token_ids("".join(pieces))
    assert len(answer) == 60, "its text has other tokens: choose another prompt"
    check_argmax(prompt, answer, served[0]["tokens"], hardware)


def check_argmax(prompt, answer, first, hardware):
    """Every token of the answer from `first` on is the hardware's own most likely one behind exactly what came before (ties within 1e-3)."""
    alone = e2e.Server(e2e.CHAT, "--port", "0", "--hardware", hardware, "--precision", "exact", "--ctx", "512")
    try:
        body = {"model": e2e.CHAT, "prompt": [prompt + answer], "max_tokens": 0, "echo": True, "logprobs": 1, "temperature": 0}
        reply = httpx.post(alone.url + "/v1/completions", json=body, timeout=240)
        assert reply.status_code == 200, reply.text
        logprobs = reply.json()["choices"][0]["logprobs"]
        assert len(logprobs["token_logprobs"]) == len(prompt) + 60
        for at in range(len(prompt) + first, len(prompt) + 60):
            best = max(logprobs["top_logprobs"][at].values())
            assert logprobs["token_logprobs"][at] >= best - 1e-3, f"token {at - len(prompt)}: {logprobs['tokens'][at]!r} is not the first choice"
    finally:
        assert alone.stop() == 0, alone.text()


def test_bench_compares_it_with_cpu():
    result = run_json("bench", e2e.CHAT, "--targets", "cpu,torch", "--prompt", "32", "--generate", "8", "--rounds", "1")
    assert {row["target"] for row in result["targets"]} >= {CPU, TORCH}
    (known,) = [entry for entry in run_json("plan", e2e.CHAT)["targets"] if entry["target"] == TORCH]
    assert known["measured"] or known["predicted"], "its records are found again"


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
