// The OpenAI SDK for Node as it comes, with its own retries: one call, and what the application got of it.

import OpenAI from "openai";

// Longer than any wait that a limit of these cases tells.
const CALL_LIMIT_MS = 150_000;

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: process.env.CLIENT_KEY, timeout: CALL_LIMIT_MS });
let line;
try {
  const answer = await client.chat.completions.create({ model, messages: [{ role: "user", content: "hello" }] });
  line = { answered: Boolean(answer.choices[0].message.content) };
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  line = { answered: false, status: error.status, code: error.code, told: error.error?.resetAt };
}
process.stdout.write(`${JSON.stringify(line)}\n`);
