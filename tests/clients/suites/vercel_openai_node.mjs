// The Vercel AI SDK over its OpenAI provider, which speaks the Responses API by default.

import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";
import { all, ASKED, MODEL, run } from "./case.mjs";

const connect = (baseURL, apiKey) => createOpenAI({ baseURL, apiKey });
const asked = { prompt: ASKED, maxRetries: 0 };

async function rawChunks(model) {
  const parts = await all(streamText({ model, ...asked, includeRawChunks: true, onError() {} }).fullStream);
  const failed = parts.find((part) => part.type === "error");
  if (failed) throw failed.error;
  return parts.filter((part) => part.type === "raw" || part.type === "text-delta");
}

async function textOf(model) {
  const { text, finishReason, usage } = await generateText({ model, ...asked });
  return { text, finishReason, usage };
}

const cases = {
  responses: (client) => textOf(client.responses(MODEL)),
  responses_stream: (client) => rawChunks(client.responses(MODEL)),
  chat: (client) => textOf(client.chat(MODEL)),
  chat_stream: (client) => rawChunks(client.chat(MODEL)),
};

await run(connect, cases);
