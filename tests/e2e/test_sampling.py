import math

import pytest

from conftest import CHAT, token_ids

COUNT = "1 2 3 4 5 6"
FRANCE = "The capital of France is"
ASK = [{"role": "user", "content": "What is the capital of France?"}]


def complete(client, prompt, **options):
    return client.completions.create(model=CHAT, prompt=prompt, **{"temperature": 0, "max_tokens": 8, **options})


def test_a_bias_forbids_and_forces_tokens(client):
    (paris,) = token_ids(" Paris")
    (rome,) = token_ids(" Rome")
    assert complete(client, FRANCE, max_tokens=1).choices[0].text == " Paris"
    assert complete(client, FRANCE, max_tokens=1, logit_bias={str(paris): -100}).choices[0].text != " Paris"
    assert complete(client, FRANCE, max_tokens=3, logit_bias={str(rome): 100}).choices[0].text == " Rome Rome Rome"


@pytest.mark.parametrize("options", [{"frequency_penalty": 2}, {"extra_body": {"repetition_penalty": 1.5}}])
def test_penalties_break_a_repetition(client, options):
    prompt = " ".join(f"apple {number}," for number in range(1, 7))
    plain = complete(client, prompt, max_tokens=24).choices[0].text
    shaped = complete(client, prompt, max_tokens=24, **options).choices[0].text
    assert plain.count("apple") >= 4, f"the check rests on the model counting on: {plain!r}"
    assert plain.count("apple") >= 2 * shaped.count("apple"), (plain, shaped)


def test_logprobs_of_completions(client):
    answer = complete(client, FRANCE, logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert "".join(logprobs.tokens) == answer.choices[0].text and len(logprobs.tokens) == 8
    for i, token in enumerate(logprobs.tokens):
        top = logprobs.top_logprobs[i]
        assert len(top) == 3 and max(top, key=top.get) == token, "greedy takes the likeliest"
        assert top[token] == logprobs.token_logprobs[i] <= 0
        assert logprobs.text_offset[i] == len("".join(logprobs.tokens[:i]))
    chunks = complete(client, FRANCE, logprobs=3, stream=True)
    streamed = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    assert [t for one in streamed for t in one.tokens] == logprobs.tokens
    assert [o for one in streamed for o in one.text_offset] == logprobs.text_offset


def test_logprobs_of_chat(client):
    options = {"model": CHAT, "messages": ASK, "temperature": 0, "max_tokens": 6, "logprobs": True, "top_logprobs": 20}
    content = client.chat.completions.create(**options).choices[0].logprobs.content
    assert len(content) == 6
    for entry in content:
        assert bytes(entry.bytes).decode() == entry.token and len(entry.top_logprobs) == 20
        assert entry.top_logprobs[0].token == entry.token and entry.top_logprobs[0].logprob == entry.logprob
        mass = sum(math.exp(other.logprob) for other in entry.top_logprobs)
        assert 0.1 < mass <= 1.0001
        assert [o.logprob for o in entry.top_logprobs] == sorted((o.logprob for o in entry.top_logprobs), reverse=True)
    chunks = client.chat.completions.create(**options, stream=True)
    streamed = [entry.token for chunk in chunks if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    assert streamed == [entry.token for entry in content]


def test_logprobs_are_the_models_own(client):
    (paris,) = token_ids(" Paris")
    plain = complete(client, FRANCE, max_tokens=1, logprobs=0).choices[0].logprobs
    biased = complete(client, FRANCE, max_tokens=1, logprobs=0, logit_bias={str(paris): 50}).choices[0].logprobs
    assert plain.tokens == biased.tokens == [" Paris"] and plain.top_logprobs is None
    assert abs(plain.token_logprobs[0] - biased.token_logprobs[0]) < 1e-3


def test_several_answers(client):
    options = {"model": CHAT, "messages": ASK, "temperature": 1.5, "max_tokens": 12, "n": 4, "seed": 11}
    first = client.chat.completions.create(**options)
    assert [choice.index for choice in first.choices] == [0, 1, 2, 3]
    texts = [choice.message.content for choice in first.choices]
    assert len(set(texts)) > 1
    alone = client.chat.completions.create(**{**options, "n": 1})
    assert first.usage.prompt_tokens == alone.usage.prompt_tokens and first.usage.completion_tokens > alone.usage.completion_tokens
    greedy = complete(client, [COUNT, FRANCE], n=2)
    assert [choice.index for choice in greedy.choices] == [0, 1, 2, 3]
    assert greedy.choices[0].text == greedy.choices[1].text != greedy.choices[2].text == greedy.choices[3].text
