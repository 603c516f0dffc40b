import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { LengthFinishReasonError } from "openai/error";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { CHAT, client, failure } from "./common.js";

const Pet = z.discriminatedUnion("kind", [z.object({ kind: z.literal("cat"), lives: z.number().int().min(1).max(9) }),
  z.object({ kind: z.literal("dog"), size: z.enum(["small", "big"]) })]);
const Person = z.object({
  name: z.string().max(30), born: z.number().int().min(1000).max(2100), city: z.enum(["London", "Paris"]),
  nickname: z.string().max(10).nullable(), tags: z.array(z.string().regex(/^[a-z]{2,8}$/)).min(1).max(3), pet: Pet,
});
const messages = [{ role: "user", content: "Ada Lovelace, born 1815 in London, has a cat. Answer in JSON." }];
const ask = { model: CHAT, messages, temperature: 0, max_tokens: 600 };

test("parse gives what zod describes", async () => {
  const answer = await client.chat.completions.parse({ ...ask, response_format: zodResponseFormat(Person, "person") });
  const [choice] = answer.choices;
  assert.equal(choice.finish_reason, "stop");
  assert.deepEqual(Person.parse(choice.message.parsed), JSON.parse(choice.message.content));
});

test("hot answers parse as well, every one", async () => {
  const answer = await client.chat.completions.parse({ ...ask, response_format: zodResponseFormat(Person, "person"), temperature: 1.5, n: 3, seed: 2 });
  for (const choice of answer.choices) Person.parse(choice.message.parsed);
});

test("a stream parses as it grows", async () => {
  const stream = client.chat.completions.stream({ ...ask, response_format: zodResponseFormat(Person, "person") });
  let partial = 0, done = 0;
  stream.on("content.delta", ({ parsed }) => {
    if (parsed && "name" in parsed) partial += 1;
  });
  stream.on("content.done", ({ parsed }) => {
    done += 1;
    Person.parse(parsed);
  });
  const final = await stream.finalChatCompletion();
  assert.ok(partial > 5, `the object grows before it is whole; got ${partial}`);
  assert.equal(done, 1);
  Person.parse(final.choices[0].message.parsed);
});

test("a recursive schema", async () => {
  const Node = z.object({ value: z.boolean(), get next() { return Node.nullable(); } });
  const answer = await client.chat.completions.create({ ...ask, response_format: zodResponseFormat(Node, "node"), n: 8, temperature: 2, seed: 1 });
  const whole = answer.choices.filter((choice) => choice.finish_reason === "stop");
  assert.ok(whole.length > 0, "all answers were cut");
  for (const choice of whole) Node.parse(JSON.parse(choice.message.content));
});

test("an answer that is cut is told by its own error", async () => {
  await failure(LengthFinishReasonError,
    () => client.chat.completions.parse({ ...ask, response_format: zodResponseFormat(Person, "person"), max_tokens: 4 }));
});

test("what is not enforced is refused by name", async () => {
  const schema = { type: "object", properties: { a: { not: {} } } };
  const error = await failure(OpenAI.BadRequestError,
    () => client.chat.completions.create({ ...ask, response_format: { type: "json_schema", json_schema: { name: "n", schema } } }));
  assert.match(error.message, /'not' at #\/properties\/a/);
});
