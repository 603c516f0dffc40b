"""Who may use the server, and how much: keys, limits, ids, the access log, CORS, TLS, draining."""
import json
import signal
import ssl
import subprocess
import threading
import time

import httpx
import openai
import pytest

from conftest import CHAT, EMBED, REQUEST_SECONDS_MAX, Server, run_cli

KEY, OTHER_KEY = "sk-e2e-first-key", "sk-e2e-second-key"
LONG = {"model": CHAT, "prompt": "1 2 3 4 5 6 7 8 9 10 11 12", "temperature": 0, "max_tokens": 6000}


def bearer(key):
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Two keys (a flag's and a file's), one request a key, a page that may read, an access log."""
    folder = tmp_path_factory.mktemp("access")
    keys = folder / "keys"
    keys.write_text(f"# of the tests\n{OTHER_KEY}\n")
    keys.chmod(0o600)
    server = Server(CHAT, EMBED, "--port", "0", "--api-key", KEY, "--api-key-file", keys, "--requests-per-key", "1", "--body-bytes-max", "100000",
                    "--cors-origin", "https://app.example", "--access-log", folder / "access.log")
    server.access_log = folder / "access.log"
    yield server
    assert server.stop() == 0, server.text()
    everything = server.text() + server.access_log.read_text()
    assert KEY not in everything and OTHER_KEY not in everything


def lines_of(server, request_id):
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in server.access_log.read_text().splitlines()]
        found = [line for line in lines if line["id"] == request_id]
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no line of {request_id}")


def test_every_key_works_and_no_other(guarded):
    for key in (KEY, OTHER_KEY):
        assert {model.id for model in guarded.client(api_key=key).models.list()} == {CHAT, EMBED}
    for key in ("wrong", KEY + "x", KEY[:-1]):
        with pytest.raises(openai.AuthenticationError) as refusal:
            guarded.client(api_key=key).models.list()
        assert refusal.value.code == "invalid_api_key"
    assert httpx.get(guarded.url + "/health", timeout=30).status_code == 200


def test_a_key_has_one_request_at_a_time(guarded):
    stream = guarded.client(api_key=KEY).completions.create(**LONG, stream=True)
    next(iter(stream))
    with pytest.raises(openai.RateLimitError) as refusal:
        guarded.client(api_key=KEY).completions.create(**{**LONG, "max_tokens": 1})
    assert refusal.value.code == "rate_limit_exceeded" and int(refusal.value.response.headers["retry-after"]) >= 1
    assert guarded.client(api_key=OTHER_KEY).completions.create(**{**LONG, "max_tokens": 1}).usage.completion_tokens == 1
    stream.close()
    guarded.wait_for_load(lambda load: load["running"] == 0)
    assert guarded.client(api_key=KEY, max_retries=2).completions.create(**{**LONG, "max_tokens": 1}).usage.completion_tokens == 1


def test_ids_go_from_header_to_header_and_log(guarded):
    answer = httpx.post(guarded.url + "/v1/completions", json={"model": CHAT, "prompt": "x", "max_tokens": 2, "stream": True},
                        headers={**bearer(KEY), "x-request-id": "trace-1/a"}, timeout=REQUEST_SECONDS_MAX)
    assert answer.headers["x-request-id"] == "trace-1/a"
    (line,) = lines_of(guarded, "trace-1/a")
    assert line["status"] == 200 and line["model"] == CHAT and line["route"] == "/v1/completions" and line["whole"]
    assert line["client"].startswith("key-") and 0 < line["ttft_ms"] <= line["duration_ms"] and line["bytes_out"] == len(answer.content)
    odd = httpx.get(guarded.url + "/v1/models", headers={**bearer(KEY), "x-request-id": "a b<script>" * 40})
    assert odd.headers["x-request-id"].startswith("req_")
    large = httpx.post(guarded.url + "/v1/completions", content=b"x" * 100_001, headers=bearer(KEY))
    assert large.status_code == 413 and lines_of(guarded, large.headers["x-request-id"])[0]["status"] == 413


def test_an_abandoned_stream_is_not_whole_in_the_log(guarded):
    with httpx.stream("POST", guarded.url + "/v1/completions", json={**LONG, "stream": True}, headers={**bearer(KEY), "x-request-id": "left"}, timeout=30) as answer:
        next(answer.iter_bytes())
    guarded.wait_for_load(lambda load: load["running"] == 0)
    assert lines_of(guarded, "left")[0]["whole"] is False


def test_cors(guarded):
    page = {"origin": "https://app.example"}
    preflight = httpx.options(guarded.url + "/v1/chat/completions", headers={**page, "access-control-request-method": "POST",
                                                                             "access-control-request-headers": "authorization,content-type"})
    assert preflight.status_code == 204 and preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "authorization" in preflight.headers["access-control-allow-headers"] and "POST" in preflight.headers["access-control-allow-methods"]
    answer = httpx.get(guarded.url + "/v1/models", headers={**page, **bearer(KEY)})
    assert answer.headers["access-control-allow-origin"] == "https://app.example" and "x-request-id" in answer.headers["access-control-expose-headers"]
    other = httpx.get(guarded.url + "/v1/models", headers={"origin": "https://evil.example", **bearer(KEY)})
    assert "access-control-allow-origin" not in other.headers and other.headers["vary"] == "Origin"


def test_a_public_address_needs_a_key():
    refused = run_cli("serve", EMBED, "--port", "0", "--host", "0.0.0.0")
    assert refused.returncode == 2 and "--insecure" in refused.stderr and "listening" not in refused.stderr
    server = Server(EMBED, "--port", "0", "--host", "0.0.0.0", "--insecure")
    assert "--insecure" in server.text()
    assert server.stop() == 0


def test_tls(certificate):
    cert, key = certificate
    trusted = ssl.create_default_context(cafile=cert)
    server = Server(CHAT, "--port", "0", "--tls-cert", cert, "--tls-key", key, "--drain-seconds", "60")
    try:
        assert server.url.startswith("https://")
        with httpx.Client(verify=trusted, timeout=REQUEST_SECONDS_MAX) as web:
            load = lambda: web.get(server.url + "/health").json()["models"][0]
            client = openai.OpenAI(base_url=server.url + "/v1", api_key="unused", http_client=web, max_retries=0)
            chunks = list(client.completions.create(**{**LONG, "max_tokens": 8}, stream=True))
            assert chunks[-1].choices[0].finish_reason == "length"
            stream = client.completions.create(**LONG, stream=True)
            next(iter(stream))
            stream.close()
            deadline = time.monotonic() + 10
            while load()["running"]:
                assert time.monotonic() < deadline, "a client that left keeps its slot"
                time.sleep(0.02)
            assert load()["kv_tokens_free"] == load()["kv_tokens_total"]
        curl = subprocess.run(["curl", "-sS", "--fail", "--cacert", cert, server.url + "/v1/models"], capture_output=True, text=True)
        assert curl.returncode == 0 and CHAT in curl.stdout, curl.stderr
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url + "/health")  # nobody has signed this certificate
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http") + "/health", timeout=20)
        with httpx.Client(verify=trusted, timeout=REQUEST_SECONDS_MAX) as web:
            with web.stream("POST", server.url + "/v1/completions", json={**LONG, "max_tokens": 100, "stream": True}) as answer:
                pieces = answer.iter_text()
                text = next(pieces)
                server.process.send_signal(signal.SIGTERM)
                text += "".join(pieces)
            assert text.endswith("data: [DONE]\n\n")
        assert server.stop() == 0
    finally:
        server.stop()


def test_tls_mistakes_name_the_file(certificate, tmp_path):
    cert, _ = certificate
    (tmp_path / "words.pem").write_text("words")
    refused = run_cli("serve", EMBED, "--port", "0", "--tls-cert", cert, "--tls-key", tmp_path / "words.pem")
    assert refused.returncode == 2 and "words.pem" in refused.stderr


def streaming(server, max_tokens, outcome):
    """A thread that reads one stream to whatever end it has; returns once the first token is there."""
    begun = threading.Event()

    def work():
        text = ""
        try:
            with httpx.stream("POST", server.url + "/v1/completions", json={**LONG, "max_tokens": max_tokens, "stream": True}, timeout=REQUEST_SECONDS_MAX) as answer:
                for piece in answer.iter_text():
                    text += piece
                    begun.set()
        except httpx.HTTPError as problem:
            outcome["problem"] = problem
        outcome["text"] = text

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    return thread


def test_sigterm_lets_a_stream_finish():
    server, outcome = Server(CHAT, "--port", "0", "--drain-seconds", "60"), {}
    thread = streaming(server, 150, outcome)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/health", timeout=5)
    assert server.stop(how=0, timeout=60) == 0, server.text()
    thread.join()
    assert outcome["text"].endswith("data: [DONE]\n\n") and "problem" not in outcome


def test_sigterm_cuts_a_stream_at_the_deadline():
    server, outcome = Server(CHAT, "--port", "0", "--drain-seconds", "1"), {}
    thread = streaming(server, 6000, outcome)
    begun = time.monotonic()
    assert server.stop() == 0, server.text()
    assert 0.9 < time.monotonic() - begun < 6
    thread.join()
    assert "[DONE]" not in outcome["text"]


def test_a_second_signal_cuts_at_once():
    server, outcome = Server(CHAT, "--port", "0", "--drain-seconds", "600"), {}
    thread = streaming(server, 6000, outcome)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.process.poll() is None
    begun = time.monotonic()
    assert server.stop() == 0, server.text()
    assert time.monotonic() - begun < 5
    thread.join()
    assert "[DONE]" not in outcome["text"]
