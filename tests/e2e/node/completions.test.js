import assert from "node:assert/strict";
import { test } from "node:test";
import { CHAT, client } from "./common.js";

const ask = { model: CHAT, prompt: "The capital of France is", temperature: 0, max_tokens: 8 };

test("an answer", async () => {
  const answer = await client.completions.create(ask);
  assert.equal(answer.object, "text_completion");
  assert.match(answer.choices[0].text, /^ Paris/);
  assert.equal(answer.choices[0].finish_reason, "length");
  assert.equal(answer.usage.completion_tokens, 8);
});

test("a stream says the same", async () => {
  const whole = await client.completions.create(ask);
  const texts = [];
  for await (const chunk of await client.completions.create({ ...ask, stream: true })) texts.push(chunk.choices[0].text);
  assert.ok(texts.length > 3);
  assert.equal(texts.join(""), whole.choices[0].text);
});

test("echo and logprobs score a prompt", async () => {
  const { choices: [scored] } = await client.completions.create({ ...ask, echo: true, logprobs: 1, max_tokens: 0 });
  assert.equal(scored.text, ask.prompt);
  assert.equal(scored.logprobs.tokens.join(""), ask.prompt);
  assert.equal(scored.logprobs.token_logprobs[0], null);
  assert.ok(scored.logprobs.token_logprobs.slice(1).every((value) => value <= 0));
  assert.deepEqual(scored.logprobs.text_offset, scored.logprobs.tokens.map((_, i, all) => all.slice(0, i).join("").length));
});
