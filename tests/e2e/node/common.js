// What the tests share. The client takes its address and key from OPENAI_BASE_URL and OPENAI_API_KEY, as everywhere.
import assert from "node:assert/strict";
import OpenAI from "openai";

export const client = new OpenAI({ maxRetries: 0, timeout: 120_000 });
export const CHAT = process.env.CHAT_MODEL;
export const EMBED = process.env.EMBED_MODEL;
export const PARIS = [{ role: "user", content: "What is the capital of France?" }];
export const PARIS_ANSWER = "The capital of France is Paris.";

/** The error of a call that must fail with this class; its members are for the caller to look at. */
export async function failure(kind, call) {
  let caught;
  await assert.rejects(call, (error) => ((caught = error), true));
  assert.ok(caught instanceof kind, `${kind.name} was expected; got ${caught.constructor.name}: ${caught.message}`);
  return caught;
}
