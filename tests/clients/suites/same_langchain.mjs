// LangChain for Node with its own retries and a short timeout: calls through faults, all at once.

import { ChatOpenAI } from "@langchain/openai";
import { LIMIT_MS, run } from "./same.mjs";

await run(({ url, model }) => {
  const chat = new ChatOpenAI({ model, apiKey: process.env.CLIENT_KEY, configuration: { baseURL: url }, timeout: LIMIT_MS });
  return async ({ stream }) => {
    if (!stream) await chat.invoke("hello");
    else for await (const _ of await chat.stream("hello"));
  };
});
