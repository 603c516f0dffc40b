import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { CHAT, PARIS, PARIS_ANSWER, client, failure } from "./common.js";

const ask = { model: CHAT, input: PARIS[0].content, temperature: 0, max_output_tokens: 120 };
const Capital = z.object({ city: z.string().max(20), continent: z.enum(["Europe", "Asia"]) });
const weather = zodResponsesFunction({ name: "get_weather", description: "Weather of a city", parameters: z.object({ city: z.enum(["Oslo", "Rome"]) }) });

test("create", async () => {
  const answer = await client.responses.create(ask);
  assert.match(answer.id, /^resp_/);
  assert.equal(answer.status, "completed");
  assert.equal(answer.output_text, PARIS_ANSWER);
  assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
});

test("what came out goes back in", async () => {
  const first = await client.responses.create(ask);
  const answer = await client.responses.create({ ...ask, input: [...PARIS, ...first.output, { role: "user", content: "And of Germany?" }] });
  assert.equal(answer.output_text, "The capital of Germany is Berlin.");
});

test("stream rebuilds the answer", async () => {
  const stream = client.responses.stream(ask);
  const kinds = [];
  let text = "";
  stream.on("event", ({ type }) => kinds.push(type));
  stream.on("response.output_text.delta", ({ delta, snapshot }) => {
    text += delta;
    assert.equal(snapshot, text);
  });
  const final = await stream.finalResponse();
  assert.equal(final.output_text, PARIS_ANSWER);
  assert.equal(text, PARIS_ANSWER);
  assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", "response.completed"]);
});

test("stream with tools", async () => {
  const stream = client.responses.stream({ ...ask, input: "Weather in Rome?", tools: [weather], tool_choice: { type: "function", name: "get_weather" } });
  let text = "";
  stream.on("response.function_call_arguments.delta", ({ delta }) => (text += delta));
  const { output: [call] } = await stream.finalResponse();
  assert.equal(call.type, "function_call");
  assert.equal(call.arguments, text);
  assert.ok(["Oslo", "Rome"].includes(call.parsed_arguments.city));
});

test("parse, whole and streamed", async () => {
  const more = { ...ask, text: { format: zodTextFormat(Capital, "capital") } };
  const whole = await client.responses.parse(more);
  Capital.parse(whole.output_parsed);
  const streamed = await client.responses.stream(more).finalResponse();
  assert.deepEqual(streamed.output_parsed, whole.output_parsed);
});

test("cut short", async () => {
  const answer = await client.responses.create({ ...ask, max_output_tokens: 3 });
  assert.equal(answer.status, "incomplete");
  assert.equal(answer.incomplete_details.reason, "max_output_tokens");
});

test("refusals name the member", async () => {
  const error = await failure(OpenAI.BadRequestError, () => client.responses.create({ ...ask, previous_response_id: "resp_1" }));
  assert.equal(error.param, "previous_response_id");
});
