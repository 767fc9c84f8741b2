// The OpenAI SDK for Node on streams that are cut: says of each whether the application was told.

import { text } from "node:stream/consumers";
import OpenAI from "openai";

const AT_ONCE = 16;
const CALL_LIMIT_MS = 60_000;

const client = new OpenAI({ baseURL: process.argv[2], apiKey: process.env.CLIENT_KEY, maxRetries: 0, timeout: CALL_LIMIT_MS });
const create = {
  chat: (body) => client.chat.completions.create(body),
  completions: (body) => client.completions.create(body),
  responses: (body) => client.responses.create(body),
};

// Reads one stream as an application does. A Responses stream tells a failure in its last event, the others raise.
async function drain({ family, model, body }) {
  let last;
  for await (const event of await create[family]({ ...body, model, stream: true })) last = event;
  if (family !== "responses") return "ok";
  if (last?.type === "response.failed") throw new Error(last.response.error.code);
  return last?.type === "response.completed" ? "ok" : "silent";
}

const plan = JSON.parse(await text(process.stdin));
let next = 0;
async function worker() {
  while (next < plan.length) {
    const place = next++;
    let line;
    try {
      line = { place, end: await drain(plan[place]) };
    } catch (error) {
      line = { place, end: "raised", by: `${error?.name}: ${error?.message}`.slice(0, 200) };
    }
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, worker));
