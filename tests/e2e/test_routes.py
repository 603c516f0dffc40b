"""The routes beside OpenAI's: /tokenize, /detokenize, /apply-template, /v1/rerank; model names in URLs; dimensions."""
import json
import math
from urllib.parse import quote

import httpx
import pytest

from conftest import CHAT, EMBED, REQUEST_SECONDS_MAX, ROOT, Server, token_ids

FIXTURES = ROOT / "tests/data/fixtures"
CROSS = "org/cross encoder"  # a name that a URL has to escape
PAIRS = json.loads((FIXTURES / "goldens.json").read_text())["cross_encoders"][0]["pairs"]
TEXT = "The capital of France is Paris. Ünïcödé 日本語 🙂"


@pytest.fixture(scope="module")
def post():
    """post(path, status, **body): the JSON of the reply, from a server with a chat model, an embedding model and a cross-encoder."""
    server = Server(CHAT, EMBED, f"{CROSS}={FIXTURES / 'bert_cross_hf'}", "--port", "0")

    def ask(path, status=200, **body):
        reply = httpx.post(server.url + path, json=body, timeout=REQUEST_SECONDS_MAX)
        assert reply.status_code == status, reply.text
        return reply.json()

    ask.url = server.url
    yield ask
    assert server.stop() == 0, server.text()


def test_tokenize_and_back_in_both_dialects(post):
    llama = post("/tokenize", model=CHAT, content=TEXT, with_pieces=True)
    ids = [token["id"] for token in llama["tokens"]]
    assert ids == token_ids(TEXT) and llama["count"] == len(ids) and llama["max_model_len"] >= 2048
    pieces = [token["piece"].encode() if isinstance(token["piece"], str) else bytes(token["piece"]) for token in llama["tokens"]]
    assert b"".join(pieces).decode() == TEXT, "pieces are the text, those inside a character as bytes"
    vllm = post("/tokenize", model=CHAT, prompt=TEXT, return_token_strs=True)
    assert vllm["tokens"] == ids and len(vllm["token_strs"]) == len(ids)
    back = post("/detokenize", model=CHAT, tokens=ids)
    assert back["content"] == back["prompt"] == TEXT


def test_special_tokens(post):
    assert len(post("/tokenize", model=CHAT, content="<|im_end|>")["tokens"]) == 1
    assert len(post("/tokenize", model=CHAT, content="<|im_end|>", parse_special=False)["tokens"]) > 1
    bare, whole = (post("/tokenize", model=EMBED, content="a cat", add_special=add)["tokens"] for add in (False, True))
    assert whole == [101, *bare, 102]
    assert post("/tokenize", model=EMBED, prompt="a cat")["tokens"] == whole, "vLLM's default"
    assert post("/detokenize", model=EMBED, tokens=whole)["content"] == "[CLS] a cat [SEP]"


def test_the_template_is_what_a_chat_is_made_of(post):
    messages = [{"role": "user", "content": "Hello <|im_end|>"}]
    prompt = post("/apply-template", model=CHAT, messages=messages)["prompt"]
    assert prompt.endswith("<|im_start|>user\nHello <|im_end|><|im_end|>\n<|im_start|>assistant\n")
    tokens = post("/tokenize", model=CHAT, messages=messages)
    answer = post("/v1/chat/completions", model=CHAT, messages=messages, max_tokens=1)
    assert answer["usage"]["prompt_tokens"] == tokens["count"], "the user's <|im_end|> stays text in both"
    shorter = post("/apply-template", model=CHAT, messages=messages, add_generation_prompt=False)["prompt"]
    assert prompt == shorter + "<|im_start|>assistant\n"


def test_rerank_scores_as_transformers_does(post):
    for pair in PAIRS[1:4]:
        reply = post("/v1/rerank", model=CROSS, query=pair["query"], documents=[pair["document"]])
        (result,) = reply["results"]
        assert abs(result["relevance_score"] - 1 / (1 + math.exp(-pair["logit"]))) < 0.02
        assert result["document"] == {"text": pair["document"]}
        assert reply["usage"]["total_tokens"] == len(pair["tokens"])


def test_rerank_sorts_and_keeps_the_best(post):
    documents = ["hello", {"text": "the mouse is in the house"}, "fast answers", "of the sea"]
    for path in ("/v1/rerank", "/rerank"):
        reply = post(path, model=CROSS, query="hello world", documents=documents)
        scores = [result["relevance_score"] for result in reply["results"]]
        assert scores == sorted(scores, reverse=True) and {result["index"] for result in reply["results"]} == {0, 1, 2, 3}
        assert all(0 < score < 1 for score in scores) and "sigmoid" in reply["ipfs_accelerate"]["score"]
    best = post("/rerank", model=CROSS, query="hello world", documents=documents, top_n=1, return_documents=False)["results"]
    assert best == [{key: reply["results"][0][key] for key in ("index", "relevance_score")}]


def test_rerank_cuts_only_when_told(post):
    long = "hello " * 500
    error = post("/v1/rerank", 400, model=CROSS, query="a", documents=["fine", long])["error"]
    assert error["code"] == "context_length_exceeded" and error["param"] == "documents" and "document 1" in error["message"]
    assert "documents cut: 1" in post("/v1/rerank", model=CROSS, query="a", documents=["b", long], truncate=True)["ipfs_accelerate"]["notes"][0]
    cut = post("/v1/rerank", model=CROSS, query="a", documents=["b", long], max_tokens_per_doc=3)
    assert cut["ipfs_accelerate"]["notes"] == ["documents cut: 1 (3 of 500 tokens)"]


def test_rerank_by_embeddings_is_asked_for(post):
    question = {"query": "Where does the cat sit?", "documents": ["The stock market fell.", "A cat sits on the mat."]}
    assert "embeddings" in post("/v1/rerank", 501, model=EMBED, **question)["error"]["message"]
    reply = post("/v1/rerank", model=EMBED, method="embeddings", **question)
    assert reply["results"][0]["index"] == 1 and "cosine" in reply["ipfs_accelerate"]["score"]
    assert "generates text" in post("/v1/rerank", 501, model=CHAT, **question)["error"]["message"]


def test_each_model_does_what_it_is_for(post):
    assert "/v1/rerank" in post("/v1/embeddings", 501, model=CROSS, input="a")["error"]["message"]
    assert "/v1/rerank" in post("/v1/completions", 501, model=CROSS, prompt="a")["error"]["message"]
    assert "template" in post("/apply-template", 400, model=EMBED, messages=[{"role": "user", "content": "a"}])["error"]["message"]


def test_dimensions_only_where_the_model_was_trained_for_it(post):
    whole = post("/v1/embeddings", model=EMBED, input="a", dimensions=384)["data"][0]["embedding"]
    assert whole == post("/v1/embeddings", model=EMBED, input="a")["data"][0]["embedding"]
    error = post("/v1/embeddings", 400, model=EMBED, input="a", dimensions=128)["error"]
    assert error["param"] == "dimensions" and "Matryoshka" in error["message"]


@pytest.mark.parametrize("spelled", [quote(CROSS, safe=""), quote(CROSS), CROSS.replace(" ", "%20")])
def test_model_names_in_urls(post, spelled):
    reply = httpx.get(f"{post.url}/v1/models/{spelled}")
    assert reply.status_code == 200 and reply.json()["id"] == CROSS
    assert httpx.get(f"{post.url}/v1/models/{spelled}x").status_code == 404


def test_the_model_is_named_where_there_are_several(post):
    assert post("/tokenize", 400, content="a")["error"]["param"] == "model"
    assert post("/v1/rerank", 400, query="a", documents=["b"])["error"]["param"] == "model"
    assert post("/tokenize", 404, model="none", content="a")["error"]["code"] == "model_not_found"
