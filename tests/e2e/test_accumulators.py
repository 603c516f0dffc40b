"""The official Python client at its strictest: every reply and every event validated against its types, and its accumulators given all
that a stream can carry at once. What single features do is in their own tests."""
import asyncio
from typing import Literal

import openai
import pydantic
import pytest

from conftest import CHAT, EMBED, REQUEST_SECONDS_MAX

PARIS = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
ASK = {"model": CHAT, "messages": PARIS, "temperature": 0, "max_tokens": 120}


class City(pydantic.BaseModel):
    city: str = pydantic.Field(max_length=20)
    continent: Literal["Europe", "Asia"]


class GetWeather(pydantic.BaseModel):
    """Weather of a city"""
    city: Literal["Oslo", "Paris", "Rome"]


class GetTime(pydantic.BaseModel):
    """Time in a zone"""
    zone: Literal["UTC", "CET"]


TOOLS = [openai.pydantic_function_tool(GetWeather), openai.pydantic_function_tool(GetTime)]
# An answer that always ends: the accumulator takes one that is cut for an error.
COLOUR = {"type": "json_schema", "json_schema": {"name": "colour", "schema": {"enum": ["red", "green", "blue", "yellow and grey"]}}}


@pytest.fixture
def strict(server):
    """Without this option the client takes any JSON and leaves members of the wrong type as they are."""
    return server.client(_strict_response_validation=True)


def test_replies_are_of_the_clients_types(strict):
    answer = strict.chat.completions.create(**ASK, n=2, logprobs=True, top_logprobs=2)
    assert len(answer.choices) == 2
    assert strict.chat.completions.create(**{**ASK, "messages": WEATHER}, tools=TOOLS, tool_choice="required").choices[0].message.tool_calls
    assert strict.completions.create(model=CHAT, prompt="The capital of France is", logprobs=2, max_tokens=2, temperature=0).choices
    assert strict.embeddings.create(model=EMBED, input=["a", "b"], encoding_format="float").data
    assert strict.models.list().data and strict.models.retrieve(CHAT).id == CHAT
    assert strict.responses.create(model=CHAT, input="Hi", max_output_tokens=16, include=["message.output_text.logprobs"], top_logprobs=1).output
    assert strict.responses.create(model=CHAT, input="Weather in Rome?", max_output_tokens=60, tool_choice="required", temperature=0,
                                   tools=[openai.pydantic_function_tool(GetWeather)["function"] | {"type": "function"}]).output


def test_events_are_of_the_clients_types(strict):
    # Not those of /v1/completions: its types have no null finish_reason in a chunk, and no null for the first logprob of an echo;
    # OpenAI sends both.
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    assert list(strict.chat.completions.create(**ASK, **usage, n=2, logprobs=True))[-1].usage
    assert list(strict.chat.completions.create(**{**ASK, "messages": WEATHER}, **usage, tools=TOOLS, tool_choice="required"))[-1].usage
    kinds = {event.type for event in strict.responses.create(model=CHAT, input="Hi", max_output_tokens=16, stream=True)}
    assert kinds >= {"response.created", "response.output_text.delta", "response.output_text.done"}


def test_several_answers_with_logprobs_and_usage(client):
    options = {**ASK, "n": 3, "temperature": 1, "seed": 5, "logprobs": True, "top_logprobs": 2, "response_format": COLOUR}
    sent, done = ["", "", ""], []
    with client.chat.completions.stream(**options, stream_options={"include_usage": True}) as stream:
        for event in stream:
            if event.type == "chunk":
                for choice in event.chunk.choices:
                    sent[choice.index] += choice.delta.content or ""
            if event.type == "logprobs.content.done":
                done.append(event.content)
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == sent and [choice.index for choice in final.choices] == [0, 1, 2]
    assert len(done) >= 3 and final.usage.total_tokens == final.usage.prompt_tokens + final.usage.completion_tokens
    for choice in final.choices:
        assert "".join(entry.token for entry in choice.logprobs.content) == choice.message.content
        assert all(len(entry.top_logprobs) == 2 for entry in choice.logprobs.content)


def test_several_calls_in_one_answer_are_parsed(client):
    most = 0
    for seed in range(6):
        sent, done = {}, []
        try:
            with client.chat.completions.stream(**{**ASK, "messages": WEATHER, "tools": TOOLS, "tool_choice": "required", "temperature": 1.5, "seed": seed,
                                                   "max_tokens": 400}) as stream:
                for event in stream:
                    if event.type == "chunk":
                        for delta in event.chunk.choices[0].delta.tool_calls or []:
                            sent[delta.index] = sent.get(delta.index, "") + delta.function.arguments
                    if event.type == "tool_calls.function.arguments.done":
                        done.append(event.index)
                calls = stream.get_final_completion().choices[0].message.tool_calls
        except openai.LengthFinishReasonError:
            continue  # hot answers may call on and on
        assert [call.function.arguments for call in calls] == list(sent.values()) and done == list(sent)
        assert all(isinstance(call.function.parsed_arguments, (GetWeather, GetTime)) for call in calls)
        assert len({call.id for call in calls}) == len(calls)
        most = max(most, len(calls))
    assert most > 1, "no answer had several calls"


def test_an_answer_that_is_cut_is_told_by_its_own_error(client):
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        client.chat.completions.parse(**{**ASK, "max_tokens": 4}, response_format=City)
    assert caught.value.completion.usage.completion_tokens == 4
    with pytest.raises(openai.LengthFinishReasonError):
        with client.chat.completions.stream(**{**ASK, "max_tokens": 4}, response_format=City) as stream:
            stream.until_done()


def test_responses_are_parsed_as_they_stream(client):
    with client.responses.stream(model=CHAT, input=PARIS[0]["content"], temperature=0, max_output_tokens=80, text_format=City) as stream:
        done = [event.parsed for event in stream if event.type == "response.output_text.done"]
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, City) and done == [final.output_parsed]


def test_the_asynchronous_client(server):
    async def ask():
        async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0, timeout=REQUEST_SECONDS_MAX) as client:
            async def one():
                async with client.chat.completions.stream(**ASK) as stream:
                    return (await stream.get_final_completion()).choices[0].message.content

            async def other():
                async with client.responses.stream(model=CHAT, input=PARIS[0]["content"], temperature=0) as stream:
                    return (await stream.get_final_response()).output_text

            return await asyncio.gather(one(), other(), one(), other())

    assert asyncio.run(ask()) == ["The capital of France is Paris."] * 4
