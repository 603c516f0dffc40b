"""quantize, and what loads of its files and loads with --quantization give, on the real model."""
import json
import signal
import subprocess
import time

import pytest
from conftest import BINARY, CHAT, ROOT, Server, run_cli

QUESTION = "How many days has a week?"  # the capitals are on a knife's edge in so small a model: it answers some in the country's language


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    """The model with every weight as a float: what smaller files are compared with."""
    path = tmp_path_factory.mktemp("quantize") / "f32.gguf"
    done = run_cli("quantize", CHAT, str(path), "--type", "f32", "--no-quality", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["quantization"] == "F32"
    return path


def ask(model, *flags):
    done = run_cli("run", str(model), QUESTION, "--max-tokens", "24", "--json", *flags)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_int4_is_seventy_percent_smaller_and_still_knows_its_week(floats):
    out = floats.parent / "q4.gguf"
    done = run_cli("quantize", str(floats), str(out), "--type", "int4", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["quantization"] == "Q4_K"
    assert report["smaller_than_f32"] > 0.7 and out.stat().st_size < 0.3 * floats.stat().st_size
    assert 0 < report["quality"]["kl_mean"] < 0.15 and report["quality"]["top1_agreement"] > 0.75
    assert report["quality"]["perplexity_after"] < 1.25 * report["quality"]["perplexity_before"]
    assert any(tensor["reason"] == "rows" and tensor["type"] == "Q5_0" for tensor in report["tensors"])
    assert "7" in ask(out)["text"]


def test_at_load_it_is_the_same_weights_proven_and_said(floats):
    out = floats.parent / "q4_again.gguf"
    assert run_cli("quantize", str(floats), str(out), "--type", "q4_k", "--no-quality").returncode == 0
    loaded = ask(floats, "--quantization", "int4")
    assert loaded["text"] == ask(out)["text"]
    assert any("weights Q4_K instead of F32, made at load" in note for note in loaded["notes"])
    assert any("became Q5_0: their rows do not divide into blocks of 256" in note for note in loaded["notes"])


def test_served_under_one_spelling():
    server = Server(CHAT, "--port", "0", "--quantization", "INT4")
    assert server.load()["quantization"] == "Q4_K"
    assert server.stop() == 0, server.text()


def test_a_stop_leaves_nothing(floats):
    out = floats.parent / "stopped.gguf"
    process = subprocess.Popen([BINARY, "quantize", str(floats), str(out), "--type", "q4_k", "--threads", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not list(out.parent.glob("stopped.gguf.*")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0 and b"nothing is left behind" in err, err
    assert not list(out.parent.glob("stopped*"))


@pytest.mark.parametrize("arguments, code, word", [
    (["quantize", CHAT], 2, "OUT"),
    (["quantize", CHAT, "{out}", "--type", "int3"], 2, "one of int8 int4"),
    (["quantize", "minilm", "{out}"], 11, "safetensors"),
    (["quantize", "no-such-model", "{out}"], 4, "no-such-model"),
    (["run", CHAT, "x", "--quantization", "int3"], 2, "one of int8 int4"),
])
def test_refusals(tmp_path, arguments, code, word):
    out = tmp_path / "out.gguf"
    done = run_cli(*[argument.format(out=out) for argument in arguments])
    assert done.returncode == code, done.stderr
    assert word in done.stderr
    assert not out.exists() and not list(tmp_path.iterdir())


def test_any_fixture_of_any_type_opens_again(tmp_path):
    for index, name in enumerate(["llama_f32", "llama_q4_k", "gemma3_f16"]):
        for kind in ("q8_0", "q4_1", "q6_k", "bf16"):
            out = tmp_path / f"{index}.{kind}.gguf"
            done = run_cli("quantize", str(ROOT / f"tests/data/fixtures/{name}.gguf"), str(out), "--type", kind, "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["quality"]["rows"] > 0
