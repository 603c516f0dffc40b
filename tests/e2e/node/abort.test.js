import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { CHAT, client, failure } from "./common.js";

const SECONDS_MAX = 10;
const long = { model: CHAT, prompt: "1 2 3 4 5 6", temperature: 0, max_tokens: 1500, stream: true };
const load = async () => (await (await fetch(new URL("/health", client.baseURL))).json()).models.find((model) => model.id === CHAT);

async function becomesIdle() {
  const deadline = Date.now() + SECONDS_MAX * 1000;
  for (let now = await load(); now.running > 0 || now.queued > 0; now = await load()) {
    assert.ok(Date.now() < deadline, `slots are free within ${SECONDS_MAX} s; got ${JSON.stringify(now)}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

test("leaving the loop frees the slot", async () => {
  let chunks = 0;
  for await (const _ of await client.completions.create(long)) if (++chunks === 3) break;
  await becomesIdle();
});

test("a signal in mid-stream frees the slot", async () => {
  const controller = new AbortController();
  const stream = await client.completions.create(long, { signal: controller.signal });
  let chunks = 0;
  for await (const _ of stream) if (++chunks === 3) {
    assert.equal((await load()).running, 1);
    controller.abort();
  }
  assert.ok(chunks < 1500);
  await becomesIdle();
});

test("the accumulator's abort frees the slot", async () => {
  const messages = [{ role: "user", content: "Tell me a long story about a fox." }];
  const stream = client.chat.completions.stream({ model: CHAT, messages, max_tokens: 1500, temperature: 0 });
  stream.once("content", () => stream.abort());
  await failure(OpenAI.APIUserAbortError, () => stream.done());
  assert.ok(stream.aborted);
  await becomesIdle();
});

test("an answer that nobody waits for is not computed to its end", async () => {
  await failure(OpenAI.APIConnectionTimeoutError, () => client.completions.create({ ...long, stream: false }, { timeout: 300 }));
  await becomesIdle();
});
