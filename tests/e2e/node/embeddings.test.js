import assert from "node:assert/strict";
import { test } from "node:test";
import { EMBED, client } from "./common.js";

const input = ["A cat sits on the mat.", "A kitten is sitting on a rug.", "The stock market fell."];
const cosine = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

test("the client asks for base64 and unpacks it to the same numbers", async () => {
  const packed = await client.embeddings.create({ model: EMBED, input });
  const plain = await client.embeddings.create({ model: EMBED, input, encoding_format: "float" });
  assert.equal(plain.data.length, 3);
  for (const [i, item] of plain.data.entries()) {
    assert.equal(item.index, i);
    assert.equal(item.embedding.length, 384);
    assert.deepEqual(Array.from(packed.data[i].embedding), item.embedding.map(Math.fround), "base64 is the same in binary32");
  }
  assert.equal(plain.usage.prompt_tokens, plain.usage.total_tokens);
});

test("base64 when asked for stays a text", async () => {
  const { data: [item] } = await client.embeddings.create({ model: EMBED, input: input[0], encoding_format: "base64" });
  assert.equal(Buffer.from(item.embedding, "base64").length, 4 * 384);
});

test("vectors mean something", async () => {
  const [cat, kitten, market] = (await client.embeddings.create({ model: EMBED, input })).data.map((item) => item.embedding);
  assert.ok(cosine(cat, kitten) > 0.5);
  assert.ok(cosine(cat, market) < 0.3);
});
