import time

import httpx

from conftest import CHAT, REQUEST_SECONDS_MAX, in_threads

WORDS = ["apple", "rocket", "candle", "dragon", "engine", "forest", "guitar", "hammer",
         "island", "marble", "kitten", "ladder", "mirror", "needle", "tunnel", "pencil"]
ENDLESS = {"model": CHAT, "prompt": "1 2 3 4 5 6 7 8 9 10 11 12", "temperature": 0, "max_tokens": 6000}


def counted(word):
    """A text that even a small model goes on with: so an answer shows whose prompt it belongs to."""
    return " ".join(f"{word} {number}," for number in range(1, 7))


def say(client, word, **options):
    return client.completions.create(model=CHAT, prompt=counted(word), temperature=0, max_tokens=24, **options)


def test_sixteen_streams_are_not_mixed_up(client):
    alone = [say(client, word).choices[0].text for word in WORDS]
    for word, text in zip(WORDS, alone):
        assert text.count(word) >= 4, f"the check rests on the model counting on: {text!r}"

    def one(index):
        chunks = list(say(client, WORDS[index], stream=True, stream_options={"include_usage": True}))
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage.completion_tokens == 24
        return "".join(chunk.choices[0].text for chunk in chunks[:-1])

    together = in_threads(len(WORDS), one)
    for word, text in zip(WORDS, together):
        assert text.count(word) >= 4, f"{word}: {text!r}"
        strangers = [other for other in WORDS if other != word and other in text]
        assert not strangers, f"{word}'s answer has words of other prompts: {text!r}"
    # Rows of different batches may be summed in another order, which flips a token only where two are nearly equal: in
    # continuations as plain as these none are.
    assert together == alone


def test_more_requests_than_slots_all_end(client):
    answers = in_threads(48, lambda index: client.completions.create(model=CHAT, prompt=counted(WORDS[index % 16]), temperature=0, max_tokens=4))
    assert all(answer.usage.completion_tokens == 4 for answer in answers)
    for index, answer in enumerate(answers):
        assert WORDS[index % 16] in answer.choices[0].text


def test_a_stream_that_is_left_frees_its_slot(server, client):
    before = server.load()
    stream = client.completions.create(**ENDLESS, stream=True)
    next(iter(stream))
    assert server.load()["running"] == 1
    stream.close()
    left = time.monotonic()
    after = server.wait_for_load(lambda load: load["running"] == 0, seconds=5)
    assert time.monotonic() - left < 5
    assert after["cancelled"] == before["cancelled"] + 1
    assert after["kv_tokens_free"] == after["kv_tokens_total"]


def test_an_answer_that_is_not_waited_for_frees_its_slot(server):
    before = server.load()
    try:
        httpx.post(server.url + "/v1/completions", json=ENDLESS, timeout=httpx.Timeout(REQUEST_SECONDS_MAX, read=1))
        raise AssertionError("6000 tokens within a second")
    except httpx.ReadTimeout:
        pass
    after = server.wait_for_load(lambda load: load["running"] == 0, seconds=5)
    assert after["cancelled"] == before["cancelled"] + 1


def test_sixteen_clients_leave_at_once(server, client):
    def one(_):
        stream = client.completions.create(**ENDLESS, stream=True)
        next(iter(stream))
        stream.close()

    in_threads(16, one)
    after = server.wait_for_load(lambda load: load["running"] == 0 and load["queued"] == 0, seconds=10)
    assert after["kv_tokens_free"] == after["kv_tokens_total"]
