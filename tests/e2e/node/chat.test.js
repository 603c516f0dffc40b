import assert from "node:assert/strict";
import { test } from "node:test";
import { CHAT, PARIS, PARIS_ANSWER, client } from "./common.js";

const ask = { model: CHAT, messages: PARIS, temperature: 0 };

test("an answer", async () => {
  const { data: answer, response } = await client.chat.completions.create(ask).withResponse();
  assert.match(response.headers.get("ipfs-accelerate-target"), /^cpu@/);
  assert.equal(answer._request_id, response.headers.get("x-request-id"));
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.choices.length, 1);
  const [choice] = answer.choices;
  assert.equal(choice.message.role, "assistant");
  assert.equal(choice.message.content, PARIS_ANSWER);
  assert.equal(choice.finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("chunks as they come", async () => {
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  const usage = chunks.pop();
  assert.deepEqual(usage.choices, []);
  assert.ok(usage.usage.completion_tokens >= 7);
  assert.ok(chunks.every((chunk) => chunk.usage === null), "usage is null until the last chunk");
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), PARIS_ANSWER);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
});

test("the accumulator rebuilds the answer", async () => {
  const whole = await client.chat.completions.create(ask);
  const stream = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
  let text = "", done = 0;
  stream.on("content", (delta, snapshot) => {
    text += delta;
    assert.equal(snapshot, text);
  });
  stream.on("content.done", ({ content }) => {
    done += 1;
    assert.equal(content, PARIS_ANSWER);
  });
  const final = await stream.finalChatCompletion();
  assert.equal(text, PARIS_ANSWER);
  assert.equal(done, 1);
  assert.equal(await stream.finalContent(), PARIS_ANSWER);
  assert.equal(final.choices[0].finish_reason, "stop");
  const usage = await stream.totalUsage();
  for (const kind of ["prompt_tokens", "completion_tokens", "total_tokens"]) assert.equal(usage[kind], whole.usage[kind]);
});

test("the accumulator keeps logprobs and several answers apart", async () => {
  const stream = client.chat.completions.stream({ ...ask, n: 3, temperature: 1, seed: 5, max_tokens: 12, logprobs: true, top_logprobs: 2 });
  const texts = ["", "", ""];
  stream.on("chunk", ({ choices }) => choices.forEach((choice) => (texts[choice.index] += choice.delta.content ?? "")));
  const final = await stream.finalChatCompletion();
  assert.deepEqual(final.choices.map((choice) => choice.message.content), texts);
  for (const [i, choice] of final.choices.entries()) {
    assert.equal(choice.index, i);
    assert.equal(choice.logprobs.content.map((entry) => entry.token).join(""), choice.message.content);
    assert.ok(choice.logprobs.content.every((entry) => entry.top_logprobs.length === 2));
  }
});

test("a readable stream crosses to another accumulator", async () => {
  const stream = client.chat.completions.stream(ask);
  const { ChatCompletionStream } = await import("openai/lib/ChatCompletionStream");
  const copy = ChatCompletionStream.fromReadableStream(stream.toReadableStream());
  assert.equal(await copy.finalContent(), PARIS_ANSWER);
});
