"""Structured output through the official client; every answer is validated by the jsonschema package."""
import enum
import json
import time
from typing import Literal, Optional, Union

import jsonschema
import openai
import pydantic
import pytest

from conftest import CHAT

ASK = [{"role": "user", "content": "Ada Lovelace, born 1815 in London, wrote the first program. Answer in JSON."}]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "born": {"type": "integer", "minimum": 1000, "maximum": 2100},
                   "city": {"enum": ["London", "Paris", "Rome"]}, "score": {"type": "number", "minimum": 0, "maximum": 1},
                   "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2,8}$"}, "minItems": 1, "maxItems": 3}},
    "required": ["name", "born", "city", "score", "tags"], "additionalProperties": False,
}


def schema_format(schema, **more):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True, **more}}


def ask(client, **options):
    return client.chat.completions.create(model=CHAT, messages=ASK, **{"max_tokens": 300, "temperature": 0, "seed": 3, **options})


def valid(text, schema):
    value = json.loads(text)
    jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())
    assert text == text.strip() and "\n" not in text
    return value


def test_json_object(client):
    answer = ask(client, response_format={"type": "json_object"}, max_tokens=400)
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    else:
        assert answer.choices[0].message.content.startswith("{"), "cut, not broken"


@pytest.mark.parametrize("strict", [True, False, None])
def test_json_schema(client, strict):
    answer = ask(client, response_format=schema_format(PERSON, strict=strict))
    assert answer.choices[0].finish_reason == "stop"
    value = valid(answer.choices[0].message.content, PERSON)
    assert list(value) == ["name", "born", "city", "score", "tags"], "the schema's order"


def test_every_one_of_several_hot_answers_is_valid(client):
    answer = ask(client, response_format=schema_format(PERSON), n=3, temperature=2)
    assert len({choice.message.content for choice in answer.choices}) > 1
    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        valid(choice.message.content, PERSON)


HOT = [
    {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 5},
    {"type": "object", "properties": {"when": {"type": "string", "format": "date-time"}, "ip": {"type": "string", "format": "ipv4"}, "id": {"type": "string", "format": "uuid"}},
     "required": ["when", "ip", "id"], "additionalProperties": False},
    {"type": "object", "additionalProperties": {"type": "integer", "multipleOf": 5, "maximum": 100, "minimum": -100}, "minProperties": 1, "maxProperties": 3},
    {"$defs": {"node": {"type": "object", "properties": {"v": {"type": "boolean"}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
                        "required": ["v", "next"], "additionalProperties": False}}, "$ref": "#/$defs/node"},
    {"type": "string", "pattern": "^[^\"\\\\x]{3,9}$"},
    {"type": "number", "exclusiveMinimum": -1.5, "exclusiveMaximum": 2.25},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"a": {"minimum": 7, "maximum": 9}, "b": {"const": "x"}}, "required": ["b"]}],
     "maxProperties": 2},
    {"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}, "n": {"type": "integer"}}, "required": ["k", "n"], "additionalProperties": False},
               {"type": "object", "properties": {"k": {"const": "b"}, "s": {"type": "string", "maxLength": 5}}, "required": ["k", "s"], "additionalProperties": False}]},
    {"type": "object", "patternProperties": {"^n[0-9]$": {"type": "integer"}}, "properties": {"m": {"type": "null"}}, "required": ["m"], "additionalProperties": False},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": {"type": "boolean"}, "maxProperties": 2},
]


@pytest.mark.parametrize("schema", HOT, ids=range(len(HOT)))
def test_whatever_comes_out_validates(client, schema):
    whole = 0
    for seed in (1, 2):
        answer = ask(client, response_format=schema_format(schema), n=8, temperature=2, max_tokens=120, seed=100 * seed)
        for choice in answer.choices:
            if choice.finish_reason == "stop":
                valid(choice.message.content, schema)
                whole += 1
    assert whole > 0, "all answers were cut"


class Size(enum.Enum):
    small = "small"
    big = "big"


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    size: Size


class Answer(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20, description="whose")
    pet: Union[Cat, Dog]
    note: Optional[Literal["nice", "bad"]]


def test_pydantic_models_are_parsed(client):
    answer = client.chat.completions.parse(model=CHAT, messages=ASK, response_format=Answer, max_tokens=200, temperature=0)
    parsed = answer.choices[0].message.parsed
    assert isinstance(parsed, Answer) and isinstance(parsed.pet, (Cat, Dog))


def test_a_discriminated_union(client):
    class Pets(pydantic.BaseModel):
        pet: Union[Cat, Dog] = pydantic.Field(discriminator="kind")

    schema = Pets.model_json_schema()
    assert "oneOf" in schema["properties"]["pet"]
    answer = ask(client, response_format=schema_format(schema), n=4, temperature=1.5)
    for choice in answer.choices:
        if choice.finish_reason == "stop":
            Pets.model_validate_json(choice.message.content)
    assert any(choice.finish_reason == "stop" for choice in answer.choices)


def test_streamed_by_the_official_helper(client):
    with client.chat.completions.stream(model=CHAT, messages=ASK, response_format=Answer, max_tokens=200, temperature=0) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Answer)
    assert "".join(deltas) == final.choices[0].message.content and len(deltas) > 3


def test_streams_of_several_answers(client):
    texts, ends = {}, {}
    for chunk in ask(client, response_format=schema_format(PERSON), n=3, temperature=1.5, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            ends[choice.index] = choice.finish_reason or ends.get(choice.index)
    assert sorted(texts) == [0, 1, 2] and set(ends.values()) == {"stop"}
    for text in texts.values():
        valid(text, PERSON)


def test_cut_answers_say_so_and_stops_hold(client):
    cut = ask(client, response_format=schema_format(PERSON), max_tokens=5).choices[0]
    assert cut.finish_reason == "length" and cut.message.content.startswith('{"name"')
    stopped = ask(client, response_format=schema_format(PERSON), stop=['"born"']).choices[0]
    assert stopped.finish_reason == "stop" and '"born"' not in stopped.message.content


def test_logprobs_are_the_models_own(client):
    answer = ask(client, response_format=schema_format({"enum": ["zyx"]}), logprobs=True, top_logprobs=1).choices[0]
    assert answer.message.content == '"zyx"'
    logprobs = answer.logprobs.content
    assert min(entry.logprob for entry in logprobs) < -1, "forced on the model, and told as it is"
    assert logprobs[0].top_logprobs[0].logprob >= logprobs[0].logprob


def test_grammars(client):
    lark = client.completions.create(model=CHAT, prompt="Pick: ", max_tokens=20, temperature=0, extra_body={"grammar": 'start: ("red" | "green") " " /[0-9]{3}/'})
    assert lark.choices[0].text[:-4] in ("red", "green") and lark.choices[0].text[-3:].isdigit() and lark.choices[0].finish_reason == "stop"
    regex = client.completions.create(model=CHAT, prompt="A date: ", max_tokens=30, temperature=0, extra_body={"grammar": {"type": "regex", "value": "20[0-9]{2}-(0[1-9]|1[0-2])"}})
    assert len(regex.choices[0].text) == 7 and regex.choices[0].text.startswith("20")
    schema = client.completions.create(model=CHAT, prompt=["a", "b"], max_tokens=30, temperature=0, extra_body={"grammar": {"type": "json_schema", "value": {"type": "boolean"}}})
    assert all(json.loads(choice.text) in (True, False) for choice in schema.choices)


@pytest.mark.parametrize("schema, why", [
    ({"type": "object", "properties": {"a": {"not": {}}}}, "'not' at #/properties/a"),
    ({"type": "array", "uniqueItems": True}, "'uniqueItems' at #"),
    ({"type": "string", "format": "regex"}, "'format' at #"),
    ({"$ref": "https://example.com/s"}, "'$ref' at #"),
    ({"type": "string", "pattern": "(?=a)"}, "'pattern' at #"),
    ({"type": "string", "minLength": 2, "maxLength": 1}, "minLength"),
    ({"type": "object", "properties": {"a": {}}, "maxProperties": 1}, "maxProperties"),
])
def test_what_is_not_enforced_is_refused_by_name(client, schema, why):
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, response_format=schema_format(schema))
    assert why in refusal.value.body["message"], refusal.value.body


def wide(count):
    return {"type": "object", "properties": {f"p{i}": {"type": "string", "minLength": i % 7} for i in range(count)}, "required": [f"p{i}" for i in range(count)]}


def deep(levels):
    schema = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


BOMBS = {
    "properties": wide(10_000),
    "most properties": wide(5_000),
    "depth": deep(25),
    "enum": {"enum": [f"value {i}" for i in range(20_000)]},
    "recursion": {"$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{j % 40}"} for j in range(i, i + 20)]} for i in range(40)}, "$ref": "#/$defs/d0"},
    "product": {"allOf": [{"anyOf": [{"type": "object", "properties": {f"k{i}{j}": {"type": "integer"}}} for j in range(20)]} for i in range(20)]},
    "chain": {"$defs": {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} if i < 4_000 else {"type": "null"} for i in range(4_001)}, "$ref": "#/$defs/d0"},
    "repeats": {"type": "string", "pattern": "^((((a{1,99}){1,99}){1,99}){1,99}b){1,99}$"},
    "patterns": {"type": "object", "patternProperties": {f"^(a|b)*a(a|b){{{i + 9}}}$": {} for i in range(16)}},
    "one of": {"oneOf": [{"type": "object", "properties": {f"p{j}": {} for j in range(i)}} for i in range(200)]},
    "long": {"type": "string", "minLength": 90_000, "maxLength": 100_000},
    "items": {"type": "array", "minItems": 90_000, "items": {"type": "array", "minItems": 90_000, "items": {"type": "array", "minItems": 90_000}}},
}


@pytest.mark.parametrize("name", BOMBS)
def test_schema_bombs_are_bounded_in_time(client, server, name):
    began = time.monotonic()
    try:
        answer = ask(client, response_format=schema_format(BOMBS[name]), max_tokens=8)
        assert answer.choices[0].message.content
    except openai.BadRequestError as refusal:
        assert "[grammar]" in refusal.body["message"] or "[openai]" in refusal.body["message"]
    assert time.monotonic() - began < 15, "a compilation has 5 s"
    began = time.monotonic()
    assert ask(client, max_tokens=1, response_format=schema_format({"type": "boolean"})).choices[0].finish_reason
    assert time.monotonic() - began < 10, "others are served meanwhile"
