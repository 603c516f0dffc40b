import httpx
import openai
import pytest

from conftest import CHAT, EMBED


def test_list(client):
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {CHAT, EMBED}
    assert all(model.object == "model" and model.created > 1_700_000_000 and model.owned_by for model in models.values())


def test_retrieve(client):
    assert client.models.retrieve(EMBED).id == EMBED
    with pytest.raises(openai.NotFoundError) as refusal:
        client.models.retrieve("no-such-model")
    assert refusal.value.code == "model_not_found"


def test_health(server):
    response = httpx.get(server.url + "/health", timeout=30)
    assert response.status_code == 200
    health = response.json()
    assert health["status"] == "ok"
    chat = server.load(CHAT)
    assert chat["status"] == "ok" and chat["kind"] == "decoder" and chat["target"].startswith("cpu@")
    assert 0 < chat["kv_tokens_free"] <= chat["kv_tokens_total"]
    assert server.load(EMBED)["kind"] == "encoder"
