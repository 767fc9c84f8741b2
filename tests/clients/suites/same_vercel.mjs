// The Vercel AI SDK with its own retries, as it comes or with the fetch of docs/resume.md: calls through faults, all at once.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import { run } from "./same.mjs";

await run(async ({ url, model, way }) => {
  // The runner writes the page's own lines there.
  const own = way === "marked" ? { fetch: (await import("./marked.mjs")).marked } : {};
  const chat = createOpenAICompatible({ name: "weir", baseURL: url, apiKey: process.env.CLIENT_KEY, ...own }).chatModel(model);
  return async ({ stream, limit_ms }) => {
    const asked = { model: chat, prompt: "hello", abortSignal: AbortSignal.timeout(limit_ms) };
    if (!stream) return generateText(asked);
    let failed;
    for await (const part of streamText({ ...asked, onError() {} }).fullStream) {
      if (part.type === "error" || part.type === "abort") failed = part.error ?? new Error(part.type);
    }
    if (failed) throw failed;
  };
});
