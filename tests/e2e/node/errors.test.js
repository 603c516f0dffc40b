import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { CHAT, EMBED, PARIS, client, failure } from "./common.js";

const ask = { model: CHAT, messages: PARIS, max_tokens: 4 };

for (const [param, value] of Object.entries({ temperature: 3, max_tokens: 0, stop: "", n: 0, tool_choice: "always", messages: [] })) {
  test(`400 names ${param}`, async () => {
    const error = await failure(OpenAI.BadRequestError, () => client.chat.completions.create({ ...ask, [param]: value }));
    assert.equal(error.status, 400);
    assert.equal(error.param, param);
    assert.equal(error.type, "invalid_request_error");
    assert.ok(error.requestID, "the id that the server's log has");
  });
}

test("400 before a stream begins", async () => {
  const error = await failure(OpenAI.BadRequestError, () => client.chat.completions.stream({ ...ask, top_p: -1 }).done());
  assert.equal(error.param, "top_p");
});

test("a prompt that does not fit", async () => {
  const error = await failure(OpenAI.BadRequestError, () => client.completions.create({ model: CHAT, prompt: Array(100_000).fill(100) }));
  assert.equal(error.code, "context_length_exceeded");
});

test("404 for a model that is not served", async () => {
  const error = await failure(OpenAI.NotFoundError, () => client.chat.completions.create({ ...ask, model: "gpt-9" }));
  assert.equal(error.code, "model_not_found");
  assert.equal(error.param, "model");
});

test("501 for a model of another kind", async () => {
  const error = await failure(OpenAI.InternalServerError, () => client.chat.completions.create({ ...ask, model: EMBED }));
  assert.equal(error.status, 501);
});
