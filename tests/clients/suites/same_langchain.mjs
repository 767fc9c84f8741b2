// LangChain for Node with its own retries, or with those of the SDK below it: calls through faults, all at once.

import { ChatOpenAI } from "@langchain/openai";
import { LIMIT_MS, run } from "./same.mjs";

// What docs/resume.md advises: the SDK below counts its tries aloud.
const counted = { maxRetries: 0, configuration: { maxRetries: 2 } };

await run(async ({ url, model, way, limit_ms }) => {
  const { configuration, ...more } = way === "counted" ? counted : {};
  const timeout = way ? limit_ms : LIMIT_MS;
  const chat = new ChatOpenAI({ model, apiKey: process.env.CLIENT_KEY, timeout, configuration: { baseURL: url, ...configuration }, ...more });
  return async ({ stream }) => {
    if (!stream) await chat.invoke("hello");
    else for await (const _ of await chat.stream("hello"));
  };
});
