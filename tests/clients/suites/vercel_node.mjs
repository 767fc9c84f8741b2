// The Vercel AI SDK over its OpenAI-compatible provider: text, stream with raw chunks, tools, embeddings. 6.x on Node 20, 7.x on Node 22.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, embedMany, generateText, jsonSchema, streamText, tool } from "ai";
import { all, ASKED, CITY, MODEL, must, REASONING_MODEL, run, TOOL_MODEL } from "./case.mjs";

const connect = (baseURL, apiKey) => createOpenAICompatible({ name: "weir", baseURL, apiKey, includeUsage: true });
const asked = { prompt: ASKED, maxRetries: 0 };
const tools = { weather: tool({ description: "The weather of a city.", inputSchema: jsonSchema(CITY) }) };

// The SDK keeps the request and the response's headers beside the answer, and measures times and makes ids of its own. Those are the
// client's, not the answer's.
const CLIENTS_OWN = new Set(["request", "headers", "performance", "callId", "messageId"]);
function answerOnly(value) {
  if (Array.isArray(value)) return value.map(answerOnly);
  if (value === null || typeof value !== "object" || value instanceof Date || value instanceof Uint8Array || value instanceof Error) return value;
  const kept = Object.entries(value).filter(([name]) => !CLIENTS_OWN.has(name));
  return Object.fromEntries(kept.map(([name, inner]) => [name, answerOnly(inner)]));
}

async function text(client, model, more) {
  const { text, reasoningText, toolCalls, finishReason, usage, response } = await generateText({ model: client.chatModel(model), ...asked, ...more });
  return answerOnly({ text, reasoningText, toolCalls, finishReason, usage, response });
}

async function stream(client, model, more) {
  const parts = await all(streamText({ model: client.chatModel(model), ...asked, includeRawChunks: true, onError() {}, ...more }).fullStream);
  const failed = parts.find((part) => part.type === "error");
  if (failed) throw failed.error;
  return answerOnly(parts);
}

const cases = {
  generate: (client) => text(client, MODEL),
  async stream(client) {
    const parts = await stream(client, MODEL);
    must(parts.filter((part) => part.type === "text-delta").length >= 8, "at least eight deltas");
    return parts;
  },
  async stream_smaller_parts(client) {
    return all(streamText({ model: client.chatModel(MODEL), ...asked }).textStream);
  },
  async tools(client) {
    const answer = await text(client, TOOL_MODEL, { tools, toolChoice: "required" });
    must(answer.toolCalls.length > 0, "a tool call");
    return answer;
  },
  async tools_stream(client) {
    const parts = await stream(client, TOOL_MODEL, { tools, toolChoice: "required" });
    must(parts.some((part) => part.type === "tool-call"), "a tool call");
    return parts;
  },
  reasoning: (client) => text(client, REASONING_MODEL),
  async reasoning_stream(client) {
    const parts = await stream(client, REASONING_MODEL);
    must(parts.some((part) => part.type === "reasoning-delta"), "reasoning");
    return parts;
  },
  async completion_stream(client) {
    return answerOnly(await all(streamText({ model: client.completionModel(MODEL), ...asked, includeRawChunks: true }).fullStream));
  },
  async embed(client) {
    const { embedding, usage } = await embed({ model: client.embeddingModel?.("sim:ok") ?? client.textEmbeddingModel("sim:ok"), value: "hello", maxRetries: 0 });
    return { embedding, usage };
  },
  async embed_many(client) {
    const model = client.embeddingModel?.("sim:ok") ?? client.textEmbeddingModel("sim:ok");
    const { embeddings, usage } = await embedMany({ model, values: ["one", "two", "three"], maxRetries: 0 });
    return { embeddings, usage };
  },
};

await run(connect, cases);
