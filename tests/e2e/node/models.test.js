import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { CHAT, EMBED, client, failure } from "./common.js";

test("the list and its entries", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids.sort(), [CHAT, EMBED].sort());
  const model = await client.models.retrieve(CHAT);
  assert.equal(model.object, "model");
  assert.ok(model.created > 1_700_000_000 && model.owned_by);
});

test("one that is not served", async () => {
  const error = await failure(OpenAI.NotFoundError, () => client.models.retrieve("no-such-model"));
  assert.equal(error.status, 404);
  assert.equal(error.code, "model_not_found");
});
