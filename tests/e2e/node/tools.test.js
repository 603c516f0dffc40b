import assert from "node:assert/strict";
import { test } from "node:test";
import { LengthFinishReasonError } from "openai/error";
import { zodFunction } from "openai/helpers/zod";
import { z } from "zod";
import { CHAT, client } from "./common.js";

const messages = [{ role: "user", content: "What is the weather in Paris?" }];
const ask = { model: CHAT, messages, temperature: 0, max_tokens: 120 };
const Where = z.object({ city: z.enum(["Oslo", "Paris", "Rome"]), days: z.number().int().min(1).max(3) });
const NAMED = { type: "function", function: { name: "get_weather" } };

function weather(calls = []) {
  return zodFunction({
    name: "get_weather", description: "Weather of a city", parameters: Where,
    function: (where) => {
      calls.push(Where.parse(where));
      return { degrees: 21, sky: "clear" };
    },
  });
}

test("parse gives the arguments", async () => {
  const answer = await client.chat.completions.parse({ ...ask, tools: [weather()], tool_choice: NAMED });
  const [choice] = answer.choices;
  assert.equal(choice.finish_reason, "tool_calls");
  assert.equal(choice.message.content, null);
  const [call] = choice.message.tool_calls;
  assert.match(call.id, /^call_/);
  assert.deepEqual(call.function.parsed_arguments, Where.parse(JSON.parse(call.function.arguments)));
});

test("the accumulator rebuilds a call from its deltas", async () => {
  const stream = client.chat.completions.stream({ ...ask, tools: [weather()], tool_choice: "required", parallel_tool_calls: false });
  let text = "", done;
  stream.on("tool_calls.function.arguments.delta", ({ name, index, arguments: snapshot, arguments_delta }) => {
    assert.equal(name, "get_weather");
    assert.equal(index, 0);
    text += arguments_delta;
    assert.equal(snapshot, text);
  });
  stream.on("tool_calls.function.arguments.done", (event) => (done = event));
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].finish_reason, "tool_calls");
  const [call] = final.choices[0].message.tool_calls;
  assert.equal(call.type, "function");
  assert.equal(call.function.arguments, text);
  assert.equal(done.arguments, text);
  assert.deepEqual(done.parsed_arguments, Where.parse(JSON.parse(text)));
});

test("several calls in one answer keep their places", async () => {
  const time = zodFunction({ name: "get_time", parameters: z.object({ zone: z.enum(["UTC", "CET"]) }), function: () => "12:00" });
  let most = 0;
  for (const seed of [0, 1, 2, 3, 4, 5]) {
    const stream = client.chat.completions.stream({ ...ask, tools: [weather(), time], tool_choice: "required", temperature: 1.5, seed, max_tokens: 400 });
    const sent = [];
    stream.on("chunk", ({ choices: [choice] }) => {
      for (const delta of choice.delta.tool_calls ?? []) {
        if (delta.id) sent[delta.index] = { id: delta.id, name: delta.function.name, text: "" };
        sent[delta.index].text += delta.function.arguments;
      }
    });
    try {
      const calls = (await stream.finalChatCompletion()).choices[0].message.tool_calls;
      assert.deepEqual(calls.map((call) => ({ id: call.id, name: call.function.name, text: call.function.arguments })), sent);
      assert.equal(new Set(sent.map(({ id }) => id)).size, sent.length);
      for (const call of calls) assert.deepEqual(call.function.parsed_arguments, JSON.parse(call.function.arguments));
      most = Math.max(most, calls.length);
    } catch (error) {
      if (!(error instanceof LengthFinishReasonError)) throw error;  // hot answers may call on and on
    }
  }
  assert.ok(most > 1, "no answer had several calls");
});

for (const stream of [false, true]) {
  test(`runTools calls the function${stream ? ", streamed" : ""}`, async () => {
    const calls = [];
    const runner = client.chat.completions.runTools({ ...ask, stream, tools: [weather(calls)], tool_choice: NAMED });
    await runner.done();
    assert.equal(calls.length, 1);
    assert.deepEqual(JSON.parse(await runner.finalFunctionToolCallResult()), { degrees: 21, sky: "clear" });
    assert.equal((await runner.finalFunctionToolCall()).name, "get_weather");
  });
}

test("runTools goes on until the model answers in words", async () => {
  const calls = [];
  // Forced for the first turn only: SmolLM2 does not end a conversation of tools by itself.
  const first = client.chat.completions.runTools({ ...ask, tools: [weather(calls)], tool_choice: NAMED });
  await first.done();
  const runner = client.chat.completions.runTools({ ...ask, messages: first.messages, tools: [weather(calls)], tool_choice: "none" });
  assert.ok((await runner.finalContent()).length > 0);
  assert.equal(calls.length, 1);
  assert.equal(runner.messages.at(-2).role, "tool");
});
