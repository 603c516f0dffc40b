"""serve --deterministic: an answer is the same bits alone, among 64 others and behind a reused prefix. What one of 64 streams
got from another, or from a neighbour's arithmetic, would show here."""
import random

import pytest
from conftest import CHAT, Server, in_threads

STREAMS = 64
LENGTHS = (3, 17, 60, 130, 300)  # tokens of a prompt: within a page of KV and over several, one chunk and more


@pytest.fixture(scope="module")
def steady():
    server = Server(CHAT, "--port", "0", "--deterministic", "--slots", str(STREAMS), "--ctx", "512", "--kv-tokens", "16384")
    yield server
    assert server.stop() == 0, server.text()


def request(index):
    draw = random.Random(index)
    return {"model": CHAT, "prompt": [[draw.randrange(100, 40000) for _ in range(LENGTHS[index % len(LENGTHS)])]],
            "max_tokens": 8 + index % 9, "temperature": 0.8 if index % 2 else 0, "seed": index, "logprobs": 3}


def answer(client, index):
    """The text and every logprob of a streamed answer, as the server's JSON had them."""
    text, logprobs = "", []
    for chunk in client.completions.create(**request(index), stream=True):
        for choice in chunk.choices:
            text += choice.text
            if choice.logprobs:
                logprobs += list(zip(choice.logprobs.tokens, choice.logprobs.token_logprobs, map(str, choice.logprobs.top_logprobs)))
    return text, logprobs


def test_an_answer_is_the_same_whatever_else_runs(steady):
    client = steady.client()
    together = in_threads(STREAMS, lambda index: answer(steady.client(), index))
    steady.wait_for_load(lambda load: load["running"] == 0)
    before = steady.load()["cached_tokens"]
    alone = [answer(client, index) for index in range(STREAMS)]
    assert steady.load()["cached_tokens"] > before, "the second time something was reused: both ways are compared"
    assert len({text for text, _ in alone}) > STREAMS / 2, "the prompts are not told apart by their answers"
    for index in range(STREAMS):
        assert len(alone[index][1]) > 0
        assert together[index] == alone[index], f"request {index} among others and alone"


def test_eight_of_one_prompt_are_the_one(steady):
    one = answer(steady.client(), 4)
    assert in_threads(8, lambda _: answer(steady.client(), 4)) == [one] * 8
