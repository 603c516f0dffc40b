import base64
import math
import struct

import httpx
import openai
import pytest

from conftest import EMBED, REQUEST_SECONDS_MAX, in_threads

WIDTH = 384
CAT, KITTEN, MARKET = "A cat sits on the mat.", "A kitten is sitting on a rug.", "The stock market fell sharply on Monday."


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def embed(client, texts, **options):
    return client.embeddings.create(model=EMBED, input=texts, **options)


def test_one_text(client):
    reply = embed(client, CAT)
    assert reply.object == "list" and reply.model == EMBED
    (item,) = reply.data
    assert item.object == "embedding" and item.index == 0 and len(item.embedding) == WIDTH
    assert abs(math.sqrt(sum(x * x for x in item.embedding)) - 1) < 1e-3, "MiniLM's own files ask for normalization"
    assert reply.usage.prompt_tokens == reply.usage.total_tokens > 5


def test_formats_are_the_same_numbers(server, client):
    numbers = embed(client, CAT, encoding_format="float").data[0].embedding
    body = {"model": EMBED, "input": CAT, "encoding_format": "base64"}
    packed = httpx.post(server.url + "/v1/embeddings", json=body, timeout=REQUEST_SECONDS_MAX).json()["data"][0]["embedding"]
    unpacked = struct.unpack(f"<{WIDTH}f", base64.b64decode(packed, validate=True))
    assert [struct.unpack("<f", struct.pack("<f", x))[0] for x in numbers] == list(unpacked)


def test_meaning(client):
    cat, kitten, market = (item.embedding for item in embed(client, [CAT, KITTEN, MARKET]).data)
    assert cosine(cat, kitten) > 0.5
    assert cosine(cat, market) < 0.3


def test_batch_equals_single(client):
    texts = [CAT, "short", MARKET, KITTEN * 8, "ünïcödé 日本語 🙂"]
    batch = embed(client, texts)
    assert [item.index for item in batch.data] == list(range(len(texts)))
    for text, item in zip(texts, batch.data):
        assert cosine(embed(client, text).data[0].embedding, item.embedding) > 0.9999
    assert batch.usage.prompt_tokens == sum(embed(client, text).usage.prompt_tokens for text in texts)


def test_token_arrays(client):
    ids = [101, 1037, 4937, 102]  # [CLS] a cat [SEP]: taken as they are
    assert cosine(embed(client, ids).data[0].embedding, embed(client, "a cat").data[0].embedding) > 0.9999
    assert len(embed(client, [ids, ids]).data) == 2


def test_many_at_once(client):
    alone = embed(client, CAT).data[0].embedding
    for reply in in_threads(8, lambda index: embed(client, [CAT, f"text number {index}"])):
        assert cosine(reply.data[0].embedding, alone) > 0.9999


def test_a_text_beyond_the_model_is_an_error(client):
    with pytest.raises(openai.BadRequestError) as refusal:
        embed(client, ["fine", "word " * 5000])
    assert refusal.value.code == "context_length_exceeded" and refusal.value.param == "input"


@pytest.mark.parametrize("texts, options", [("", {}), ([], {}), (["a", ""], {}), ("a", {"dimensions": 8}), ("a", {"encoding_format": "int8"}),
                                            (["a"] * 2049, {}), ([[10**9]], {})])
def test_bad_requests(client, texts, options):
    with pytest.raises(openai.BadRequestError):
        embed(client, texts, **options)
