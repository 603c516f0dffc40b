"""/v1/responses by the official client: create, stream and parse."""
import json

import openai
import pydantic
import pytest

from conftest import CHAT

PARIS = "What is the capital of France?"
TOOL = {"type": "function", "name": "get_weather", "description": "Weather of a city", "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}}, "required": ["city"], "additionalProperties": False}}


def ask(client, input=PARIS, **options):
    return client.responses.create(**{"model": CHAT, "input": input, "temperature": 0, **options})


def test_text(client):
    answer = ask(client)
    assert answer.id.startswith("resp_") and answer.object == "response" and answer.status == "completed" and answer.model == CHAT
    assert answer.output_text == "The capital of France is Paris."
    assert answer.store is False and answer.error is None and answer.temperature == 0
    usage = answer.usage
    assert usage.input_tokens > 10 and usage.output_tokens >= 7 and usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens_details.cached_tokens >= 0 and usage.output_tokens_details.reasoning_tokens == 0
    assert answer.model_extra["ipfs_accelerate"]["served_by"].startswith("cpu@")


def test_items_and_instructions(client):
    answer = ask(client, [{"role": "user", "content": PARIS}, {"role": "assistant", "content": "The capital of France is Paris."},
                          {"role": "user", "content": [{"type": "input_text", "text": "And of Germany?"}]}], max_output_tokens=24)
    assert answer.output_text == "The capital of Germany is Berlin."
    short = ask(client, max_output_tokens=16).usage.input_tokens
    assert ask(client, instructions="You are a helpful assistant that likes long words. " * 5, max_output_tokens=16).usage.input_tokens > short + 20


def test_an_answer_goes_back_in(client):
    first = ask(client)
    answer = ask(client, [{"role": "user", "content": PARIS}, *[item.model_dump() for item in first.output], {"role": "user", "content": "And of Germany?"}],
                 max_output_tokens=24)
    assert answer.output_text == "The capital of Germany is Berlin."


def test_stream(client):
    events = list(ask(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert kinds[-4:] == ["response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "The capital of France is Paris."
    assert events[-1].response.output_text == "The capital of France is Paris."
    assert len({event.item_id for event in events if hasattr(event, "item_id")}) == 1


def test_stream_by_the_accumulator(client):
    with client.responses.stream(model=CHAT, input=PARIS, temperature=0) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                assert event.snapshot.endswith(event.delta)
        final = stream.get_final_response()
    assert final.output_text == "The capital of France is Paris."


def test_cut_short(client):
    answer = ask(client, max_output_tokens=3)
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens" and answer.usage.output_tokens == 3
    assert list(ask(client, max_output_tokens=3, stream=True))[-1].type == "response.incomplete"


def test_tools(client):
    first = ask(client, "Weather in Rome?", tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    (call,) = first.output
    assert call.type == "function_call" and call.name == "get_weather" and call.call_id.startswith("call_") and call.status == "completed"
    assert json.loads(call.arguments)["city"] in ("Oslo", "Rome")
    second = ask(client, [{"role": "user", "content": "Weather in Rome?"}, call.model_dump(), {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}],
                 tools=[TOOL], tool_choice="none", max_output_tokens=40)
    assert second.output_text


def test_tools_streamed(client):
    with client.responses.stream(model=CHAT, input="Weather in Rome?", temperature=0, tools=[TOOL], tool_choice={"type": "function", "name": "get_weather"}) as stream:
        deltas = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    (call,) = final.output
    assert "".join(deltas) == call.arguments and call.parsed_arguments["city"] in ("Oslo", "Rome")


class Capital(pydantic.BaseModel):
    city: str = pydantic.Field(max_length=20)
    continent: str = pydantic.Field(pattern="^(Europe|Asia)$")


def test_structured(client):
    answer = client.responses.parse(model=CHAT, input=PARIS, temperature=0, max_output_tokens=80, text_format=Capital)
    assert isinstance(answer.output_parsed, Capital)
    assert json.loads(ask(client, text={"format": {"type": "json_schema", "name": "n", "schema": {"const": {"a": 1}}}}).output_text) == {"a": 1}


def test_logprobs(client):
    part = ask(client, include=["message.output_text.logprobs"], top_logprobs=2, max_output_tokens=16).output[0].content[0]
    assert "".join(entry.token for entry in part.logprobs).startswith("The capital") and len(part.logprobs[0].top_logprobs) == 2


@pytest.mark.parametrize("options", [{"store": True}, {"previous_response_id": "resp_1"}, {"background": True}, {"truncation": "auto"},
                                     {"reasoning": {"effort": "high"}}, {"tools": [{"type": "web_search"}]}])
def test_what_is_not_done_is_refused_by_name(client, options):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **options)
    assert caught.value.param.split("[")[0] == next(iter(options))
