import pytest

from conftest import CHAT

PARIS = [{"role": "user", "content": "What is the capital of France?"}]
# Enough of an instruction-tuned model's chatter at temperature 1 to differ between seeds.
STORY = [{"role": "user", "content": "Tell me a story about a fox."}]


def ask(client, messages, **options):
    return client.chat.completions.create(model=CHAT, messages=messages, **options)


def joined(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_answer(client):
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=PARIS, temperature=0)
    assert raw.headers["ipfs-accelerate-target"].startswith("cpu@")
    assert raw.headers["x-request-id"]
    answer = raw.parse()
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")
    assert answer.model == CHAT and answer.created > 1_700_000_000 and answer.system_fingerprint.startswith("fp_")
    (choice,) = answer.choices
    assert choice.index == 0 and choice.finish_reason == "stop" and choice.message.role == "assistant"
    assert choice.message.content == "The capital of France is Paris."
    usage = answer.usage
    assert usage.prompt_tokens > 10 and usage.completion_tokens >= 7
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens >= 0


def test_stream_says_the_same(client):
    whole = ask(client, PARIS, temperature=0)
    chunks = list(ask(client, PARIS, temperature=0, stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert joined(chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]][-1] == "stop"
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-2])
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_stream_without_usage(client):
    chunks = list(ask(client, PARIS, temperature=0, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_client_library_accumulates_a_stream(client):
    with client.chat.completions.stream(model=CHAT, messages=PARIS, temperature=0) as stream:
        stream.until_done()
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "The capital of France is Paris."


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_max_tokens(client, name):
    answer = ask(client, STORY, temperature=0, **{name: 5})
    assert answer.usage.completion_tokens == 5 and answer.choices[0].finish_reason == "length"


def test_stop(client):
    whole = ask(client, PARIS, temperature=0).choices[0].message.content
    for stop in (" Paris", ["never said", "Paris"]):
        answer = ask(client, PARIS, temperature=0, stop=stop).choices[0]
        assert answer.finish_reason == "stop"
        assert answer.message.content == whole.split(stop if isinstance(stop, str) else "Paris")[0]
        assert joined(ask(client, PARIS, temperature=0, stop=stop, stream=True)) == answer.message.content


def test_seed(client):
    def told(seed, **more):
        return ask(client, STORY, seed=seed, max_tokens=24, temperature=1, **more).choices[0].message.content

    first = told(7)
    assert told(7) == first
    assert joined(ask(client, STORY, seed=7, max_tokens=24, temperature=1, stream=True)) == first
    assert len({told(seed) for seed in (7, 8, 9)}) > 1


def test_greedy_by_any_name(client):
    greedy = ask(client, STORY, temperature=0, max_tokens=12).choices[0].message.content
    assert ask(client, STORY, temperature=1, top_p=0, max_tokens=12).choices[0].message.content == greedy
    assert ask(client, STORY, temperature=1, max_tokens=12, extra_body={"top_k": 1}).choices[0].message.content == greedy
    assert ask(client, STORY, temperature=1, max_tokens=12, extra_body={"min_p": 1}).choices[0].message.content == greedy


def test_the_drawn_seed_is_told_and_repeats_the_answer(client):
    answer = ask(client, STORY, temperature=1, max_tokens=16)
    seed = answer.model_extra["ipfs_accelerate"]["seed"]
    signed = seed - 2**64 if seed >= 2**63 else seed
    assert ask(client, STORY, temperature=1, max_tokens=16, seed=signed).choices[0].message.content == answer.choices[0].message.content


def test_roles_and_parts(client):
    plain = ask(client, [{"role": "system", "content": "You are a parrot."}, *PARIS], temperature=0, max_tokens=16)
    parts = ask(client, [{"role": "developer", "content": [{"type": "text", "text": "You are a "}, {"type": "text", "text": "parrot."}]},
                         *PARIS], temperature=0, max_tokens=16)
    assert parts.choices[0].message.content == plain.choices[0].message.content
    assert parts.usage.prompt_tokens == plain.usage.prompt_tokens


def test_several_turns(client):
    answer = ask(client, [*PARIS, {"role": "assistant", "content": "The capital of France is Paris."},
                          {"role": "user", "content": "And of Germany?"}], temperature=0, max_tokens=24)
    assert answer.choices[0].message.content == "The capital of Germany is Berlin."


def test_control_tokens_in_user_text_are_text(client):
    # Were they parsed, "<|im_end|>" would be one token and end the user's turn.
    control = ask(client, [{"role": "user", "content": "<|im_end|>" * 20}], max_tokens=1).usage.prompt_tokens
    short = ask(client, [{"role": "user", "content": "x" * 1}], max_tokens=1).usage.prompt_tokens
    assert control - short >= 20 * 3


def test_characters_of_several_tokens_come_whole(client):
    emoji = [{"role": "user", "content": "Write five emoji."}]
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(client, emoji, temperature=0, max_tokens=32, stream=True)]
    assert any(ord(character) > 0xFFFF for piece in pieces for character in piece), f"the check rests on emoji: {pieces}"
    # max_tokens may cut the last character in two; anywhere else half a character would be ours.
    assert "\ufffd" not in "".join(pieces).removesuffix("\ufffd")
    assert "".join(pieces) == ask(client, emoji, temperature=0, max_tokens=32).choices[0].message.content
