// The Anthropic SDK for Node on `/v1/messages`: whole, streamed, with tools and raw.

import Anthropic from "@anthropic-ai/sdk";
import { all, CALL_LIMIT_MS, CITY, MODEL, must, run, TALK, TOOL_MODEL } from "./case.mjs";

const connect = (baseURL, apiKey) => new Anthropic({ baseURL: baseURL.replace(/\/v1$/, ""), apiKey, maxRetries: 0, timeout: CALL_LIMIT_MS });
const asked = { model: MODEL, max_tokens: 64, messages: TALK };
const tools = [{ name: "weather", description: "The weather of a city.", input_schema: CITY }];
const withTool = { ...asked, model: TOOL_MODEL, tools, tool_choice: { type: "any" } };

const cases = {
  message: (client) => client.messages.create(asked),
  async message_stream(client) {
    const events = await all(await client.messages.create({ ...asked, stream: true }));
    must(events.at(-1).type === "message_stop", "message_stop at the end");
    return events;
  },
  async message_stream_final(client) {
    const stream = client.messages.stream(asked);
    return [...(await all(stream)), await stream.finalMessage()];
  },
  async tools(client) {
    const answer = await client.messages.create(withTool);
    must(answer.content.some((block) => block.type === "tool_use"), "a tool call");
    return answer;
  },
  async tools_stream(client) {
    const events = await all(await client.messages.create({ ...withTool, stream: true }));
    must(events.some((event) => event.content_block?.type === "tool_use"), "a tool call");
    return events;
  },
  async raw_stream(client) {
    const raw = await client.messages.create({ ...asked, stream: true }).asResponse();
    return [raw.status, raw.headers.get("content-type").split(";")[0], await raw.text()];
  },
};

await run(connect, cases);
