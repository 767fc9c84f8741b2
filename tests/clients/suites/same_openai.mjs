// The OpenAI SDK for Node with its own retries and a short timeout: calls through faults, all at once.

import OpenAI from "openai";
import { LIMIT_MS, MESSAGES, run } from "./same.mjs";

await run(async ({ url }) => {
  const client = new OpenAI({ baseURL: url, apiKey: process.env.CLIENT_KEY, timeout: LIMIT_MS });
  return async ({ model, stream }) => {
    const answer = await client.chat.completions.create({ model, stream, messages: MESSAGES });
    if (stream) for await (const _ of answer);
  };
});
