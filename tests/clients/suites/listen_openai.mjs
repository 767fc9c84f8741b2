// The OpenAI SDK for Node in front of `weir doctor client`: one call for each script, with its own retries, and what the application got.

import OpenAI from "openai";

// Where nothing comes at all it gives up.
const PATIENCE_MS = 3_000;

const [baseURL, scripts] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: process.env.CLIENT_KEY });
const got = {};
for (const script of scripts.split(",")) {
  const options = script === "slow" || script === "quiet" ? { timeout: PATIENCE_MS, maxRetries: 1 } : {};
  let words = 0;
  try {
    const stream = await client.chat.completions.create({ model: `doctor-${script}`, messages: [{ role: "user", content: "hello" }], stream: true }, options);
    for await (const chunk of stream) words += chunk.choices[0]?.delta.content ? 1 : 0;
    got[script] = words;
  } catch (error) {
    got[script] = error.constructor.name;
  }
}
process.stdout.write(`${JSON.stringify(got)}\n`);
