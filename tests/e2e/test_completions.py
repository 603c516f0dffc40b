import pytest

from conftest import CHAT, token_ids

COUNT = "1 2 3 4 5 6"
FRANCE = "The capital of France is"


def complete(client, prompt, **options):
    return client.completions.create(model=CHAT, prompt=prompt, **{"temperature": 0, "max_tokens": 8, **options})


def test_answer(client):
    answer = complete(client, FRANCE)
    assert answer.object == "text_completion" and answer.id.startswith("cmpl-") and answer.model == CHAT
    (choice,) = answer.choices
    assert choice.text.startswith(" Paris") and choice.finish_reason == "length" and choice.index == 0 and choice.logprobs is None
    assert answer.usage.prompt_tokens == len(token_ids(FRANCE)) and answer.usage.completion_tokens == 8


def test_default_is_sixteen_tokens(client):
    assert client.completions.create(model=CHAT, prompt=COUNT, temperature=0).usage.completion_tokens == 16


def test_token_array_is_the_same_prompt(client):
    text = complete(client, FRANCE)
    tokens = complete(client, token_ids(FRANCE))
    assert tokens.choices[0].text == text.choices[0].text and tokens.usage == text.usage


def test_list_prompts_keep_their_order(client):
    single = [complete(client, prompt).choices[0].text for prompt in (FRANCE, COUNT)]
    answer = complete(client, [FRANCE, COUNT, FRANCE])
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert [choice.text for choice in answer.choices] == [single[0], single[1], single[0]]
    assert answer.usage.completion_tokens == 24
    lists = complete(client, [token_ids(COUNT), token_ids(FRANCE)])
    assert [choice.text for choice in lists.choices] == [single[1], single[0]]


def test_stream_of_several_prompts(client):
    whole = complete(client, [FRANCE, COUNT], max_tokens=12)
    chunks = list(complete(client, [FRANCE, COUNT], max_tokens=12, stream=True, stream_options={"include_usage": True}))
    texts, ends = ["", ""], {}
    for chunk in chunks[:-1]:
        (choice,) = chunk.choices
        texts[choice.index] += choice.text
        if choice.finish_reason:
            ends[choice.index] = choice.finish_reason
    assert texts == [choice.text for choice in whole.choices]
    assert ends == {0: "length", 1: "length"}
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    order = [chunk.choices[0].index for chunk in chunks[:-1]]
    assert order != sorted(order), "choices come as their tokens do, not one after the other"


@pytest.mark.parametrize("stop", [" 9", [" 9"], ["9", "never"]])
def test_stop(client, stop):
    choice = complete(client, COUNT, stop=stop, max_tokens=32).choices[0]
    assert choice.finish_reason == "stop"
    assert "9" not in choice.text and choice.text.startswith(" 7 8")


def test_stop_across_tokens_in_a_stream(client):
    # "7 8" begins in one token and ends two later: nothing of it may slip out before it is whole.
    text = "".join(chunk.choices[0].text for chunk in complete(client, COUNT, stop="7 8", max_tokens=32, stream=True))
    assert text == " "


def test_prompts_are_scored_as_harnesses_do(client):
    """lm-evaluation-harness sends token ids with echo, logprobs and max_tokens 0 or 1 and reads the prompt's own logprobs."""
    prompt = token_ids("The capital of France is Paris.")
    scored = client.completions.create(model=CHAT, prompt=[prompt], max_tokens=0, echo=True, logprobs=2, temperature=0).choices[0]
    assert scored.text == "The capital of France is Paris."
    assert len(scored.logprobs.tokens) == len(prompt)
    assert scored.logprobs.token_logprobs[0] is None and scored.logprobs.top_logprobs[0] is None
    assert all(value <= 0 for value in scored.logprobs.token_logprobs[1:])
    assert all(len(top) in (2, 3) for top in scored.logprobs.top_logprobs[1:])
    assert scored.logprobs.text_offset[0] == 0 and "".join(scored.logprobs.tokens) == scored.text
    # The same token generated has the same logprob as the same token scored.
    one = client.completions.create(model=CHAT, prompt=[prompt[:-2]], max_tokens=1, logprobs=0, logit_bias={str(prompt[-2]): 100}, temperature=0)
    assert abs(one.choices[0].logprobs.token_logprobs[0] - scored.logprobs.token_logprobs[-2]) < 0.05
    with_one_more = client.completions.create(model=CHAT, prompt=[prompt], max_tokens=1, echo=True, logprobs=1, temperature=0).choices[0]
    assert len(with_one_more.logprobs.tokens) == len(prompt) + 1
    assert with_one_more.logprobs.token_logprobs[:-1] == scored.logprobs.token_logprobs


def test_what_was_computed_before_is_reused_and_said(client):
    opening = "Once upon a time, in a village by the sea, there lived a fisherman who had three daughters. " * 4
    ask = lambda: client.completions.create(model=CHAT, prompt=opening, max_tokens=8, temperature=0)  # noqa: E731
    first, second = ask(), ask()
    assert second.usage.prompt_tokens_details.cached_tokens == second.usage.prompt_tokens - 1
    assert first.choices[0].text == second.choices[0].text
