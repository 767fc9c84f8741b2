// LangChain for Node as it comes, with its own retries: one call after the other, and what the application got of each.

import { ChatOpenAI } from "@langchain/openai";

const CALL_LIMIT_MS = 150_000;

const [baseURL, model, times] = process.argv.slice(2);
const chat = new ChatOpenAI({ model, apiKey: process.env.CLIENT_KEY, configuration: { baseURL }, timeout: CALL_LIMIT_MS });
for (let n = 0; n < Number(times); n++) {
  let line;
  try {
    const answer = await chat.invoke("hello");
    line = { answered: Boolean(answer.content) };
  } catch (error) {
    if (!error?.status) throw error;
    line = { answered: false, status: error.status, code: error.code, told: error.error?.resetAt };
  }
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
