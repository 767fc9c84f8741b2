// The OpenAI SDK for Node as it comes, with its own retries: one call after the other, and what the application got of each.

import OpenAI from "openai";

// Longer than any wait that a limit of these cases tells.
const CALL_LIMIT_MS = 150_000;

const [baseURL, model, times] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: process.env.CLIENT_KEY, timeout: CALL_LIMIT_MS });
for (let n = 0; n < Number(times); n++) {
  let line;
  try {
    const answer = await client.chat.completions.create({ model, messages: [{ role: "user", content: "hello" }] });
    line = { answered: Boolean(answer.choices[0].message.content) };
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    line = { answered: false, status: error.status, code: error.code, told: error.error?.resetAt };
  }
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
