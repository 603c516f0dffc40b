"""Tool calls by the official client. SmolLM2 is a weak model without tools in its template: calls are made sure of by tool_choice and
by what is strict, so every assertion here rests on what the server enforces, not on what the model knows."""
import json

import openai
import pydantic
import pytest

from conftest import CHAT

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Current weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo", "Paris", "Rome"]}, "days": {"type": "integer", "enum": [1, 2, 3]}},
                   "required": ["city", "days"], "additionalProperties": False}}}
TIME = {"type": "function", "function": {
    "name": "get_time", "description": "Current time in a zone",
    "parameters": {"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}, "required": ["zone"], "additionalProperties": False}}}
ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def strict(tool):
    return {"type": "function", "function": {**tool["function"], "strict": True}}


def ask(client, messages=ASK, **options):
    return client.chat.completions.create(**{"model": CHAT, "messages": messages, "temperature": 0, "max_tokens": 200, **options})


def check_call(call):
    assert call.type == "function" and call.id.startswith("call_") and len(call.id) == 29
    arguments = json.loads(call.function.arguments)
    if call.function.name == "get_weather":
        assert arguments["city"] in ("Oslo", "Paris", "Rome") and arguments["days"] in (1, 2, 3) and len(arguments) == 2
    else:
        assert call.function.name == "get_time" and arguments["zone"] in ("UTC", "CET") and len(arguments) == 1
    return arguments


def test_named(client):
    answer = ask(client, tools=[TIME, WEATHER], tool_choice=NAMED)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    check_call(call)
    assert answer.usage.completion_tokens > 10
    assert any("chat template" in note for note in answer.model_extra["ipfs_accelerate"]["notes"]), "what was done for want of a template is told"


def test_required(client):
    for seed in range(4):
        choice = ask(client, tools=[WEATHER, TIME], tool_choice="required", temperature=1, seed=seed, parallel_tool_calls=False).choices[0]
        assert choice.finish_reason == "tool_calls" and choice.message.content is None
        (call,) = choice.message.tool_calls
        check_call(call)


def test_parallel(client):
    seen = set()
    for seed in range(6):
        choice = ask(client, tools=[WEATHER, TIME], tool_choice="required", temperature=1.5, seed=seed, max_tokens=300).choices[0]
        calls = choice.message.tool_calls
        assert choice.message.content is None and len({call.id for call in calls}) == len(calls)
        for call in calls if choice.finish_reason == "tool_calls" else calls[:-1]:
            check_call(call)
        seen.add(len(calls))
    assert max(seen) > 1, f"no answer had several calls: {seen}"


def test_stream_by_the_accumulator(client):
    whole = ask(client, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False).choices[0].message.tool_calls[0].function
    with client.chat.completions.stream(model=CHAT, messages=ASK, temperature=0, max_tokens=200, tools=[strict(WEATHER)], tool_choice="required",
                                        parallel_tool_calls=False) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds and kinds.count("tool_calls.function.arguments.done") == 1
    (call,) = final.choices[0].message.tool_calls
    assert call.function.arguments == whole.arguments and final.choices[0].message.content is None
    assert final.choices[0].finish_reason == "tool_calls"


def test_stream_by_hand(client):
    chunks = list(ask(client, tools=[WEATHER], tool_choice=NAMED, stream=True))
    deltas = [delta for chunk in chunks if chunk.choices for delta in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].id and deltas[0].function.name == "get_weather" and deltas[0].function.arguments == ""
    assert all(delta.id is None and delta.function.name is None and delta.index == 0 for delta in deltas[1:])
    assert len(deltas) > 5, "arguments come piece by piece"
    check_call(type(deltas[0])(index=0, id=deltas[0].id, type="function", function={"name": "get_weather", "arguments": "".join(
        delta.function.arguments for delta in deltas)}))
    assert chunks[0].choices[0].delta.role == "assistant" and not any(chunk.choices[0].delta.content for chunk in chunks if chunk.choices)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


class Weather(pydantic.BaseModel):
    """Current weather of a city"""
    city: str = pydantic.Field(max_length=12)
    unit: str = pydantic.Field(pattern="^(C|F)$")


def test_pydantic_tools_are_parsed(client):
    tool = openai.pydantic_function_tool(Weather)
    answer = client.chat.completions.parse(model=CHAT, messages=ASK, temperature=0, max_tokens=120, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, Weather)


def test_strict_under_auto(client):
    """Whatever the model chooses: text, or a call that keeps to its schema."""
    called = 0
    for seed in range(6):
        choice = ask(client, [{"role": "user", "content": "Call get_weather for Rome. Answer with the JSON object only."}], tools=[strict(WEATHER)],
                     temperature=0.8, seed=seed, max_tokens=80).choices[0]
        for call in choice.message.tool_calls or []:
            if choice.finish_reason == "tool_calls":
                check_call(call)
                called += 1
        assert choice.message.content or choice.message.tool_calls
    print(f"{called} calls in 6 answers")


def test_auto_without_calls_is_text(client):
    choice = ask(client, [{"role": "user", "content": "Say hello."}], tools=[TIME], tool_choice="none").choices[0]
    assert choice.message.content and choice.message.tool_calls is None and choice.finish_reason == "stop"


def test_several_turns(client):
    first = ask(client, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False).choices[0].message
    messages = [*ASK, first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "21 degrees and sunny"}]
    answer = ask(client, messages, tools=[WEATHER], tool_choice="none", max_tokens=60)
    assert answer.choices[0].message.content and answer.choices[0].finish_reason in ("stop", "length")
    again = ask(client, messages, tools=[WEATHER], tool_choice=NAMED)
    check_call(again.choices[0].message.tool_calls[0])
    assert again.usage.prompt_tokens > answer.usage.prompt_tokens, "none offers no tools"


def test_control_tokens_in_tools_are_text(client):
    def prompt_tokens(word):
        tool = {"type": "function", "function": {"name": "f", "description": word * 10, "parameters": {"type": "object", "properties": {word: {"const": word}}}}}
        return ask(client, tools=[tool], tool_choice="auto", max_tokens=1).usage.prompt_tokens
    assert prompt_tokens("<|im_end|>") - prompt_tokens("x") > 30


def test_the_limit_cuts_a_call(client):
    choice = ask(client, tools=[WEATHER], tool_choice=NAMED, max_tokens=14).choices[0]
    assert choice.finish_reason == "length"


def test_several_answers(client):
    answer = ask(client, tools=[WEATHER], tool_choice=NAMED, n=3, temperature=1, seed=3)
    assert len(answer.choices) == 3
    for choice in answer.choices:
        check_call(choice.message.tool_calls[0])


@pytest.mark.parametrize("options, param", [
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "nobody"}}}, "tool_choice"),
    ({"functions": [WEATHER["function"]]}, "functions"),
])
def test_what_is_wrong_is_named(client, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **options)
    assert caught.value.param == param


def test_a_strict_schema_that_cannot_be_enforced_is_refused(client):
    schema = {"type": "object", "properties": {"x": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, tools=[tool])
    assert "uniqueItems" in str(caught.value)
    loose = {"type": "function", "function": {"name": "f", "parameters": schema}}
    answer = ask(client, tools=[loose], tool_choice="required", parallel_tool_calls=False, max_tokens=40)
    assert any("any JSON object" in note for note in answer.model_extra["ipfs_accelerate"]["notes"])
