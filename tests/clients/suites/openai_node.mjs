// The OpenAI SDK for Node, parsed and raw. Runs unchanged on the 6.x line (Node 20) and the 7.x line (Node 22).

import OpenAI, { toFile } from "openai";
import { all, ASKED, CALL_LIMIT_MS, MODEL, must, REASONING_MODEL, run, TALK, TOOL, TOOL_MODEL } from "./case.mjs";

const connect = (baseURL, apiKey) => new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: CALL_LIMIT_MS });
const chat = (client, more) => client.chat.completions.create({ model: MODEL, messages: TALK, ...more });
const chatStream = async (client, more) => all(await chat(client, { stream: true, ...more }));
const WITH_TOOL = { model: TOOL_MODEL, tools: [TOOL], tool_choice: "required" };

const cases = {
  chat: (client) => chat(client),
  async chat_stream(client) {
    const events = await chatStream(client);
    must(events.length >= 8, "at least eight events");
    must(events.every((event) => !event.usage), "no usage that was not asked for");
    return events;
  },
  async chat_stream_with_usage(client) {
    const events = await chatStream(client, { stream_options: { include_usage: true } });
    must(events.at(-1).usage && events.at(-1).choices.length === 0, "a usage chunk at the end");
    return events;
  },
  async chat_two_choices(client) {
    const answer = await chat(client, { n: 2 });
    must(answer.choices.length === 2, "two choices");
    return answer;
  },
  chat_two_choices_stream: (client) => chatStream(client, { n: 2 }),
  async chat_stream_final(client) {
    return client.chat.completions.stream({ model: MODEL, messages: TALK }).finalChatCompletion();
  },
  async tools(client) {
    const answer = await chat(client, WITH_TOOL);
    must(answer.choices[0].message.tool_calls?.length > 0, "a tool call");
    return answer;
  },
  async tools_stream(client) {
    const events = await chatStream(client, WITH_TOOL);
    must(events.some((event) => event.choices.some((choice) => choice.delta.tool_calls)), "a tool call");
    return events;
  },
  reasoning: (client) => chat(client, { model: REASONING_MODEL }),
  async reasoning_stream(client) {
    const events = await chatStream(client, { model: REASONING_MODEL });
    must(JSON.stringify(events).includes("reasoning_content"), "reasoning");
    return events;
  },
  async picture_of_3_mib(client) {
    const url = `data:image/png;base64,${Buffer.alloc(3 * 1024 * 1024, "picture").toString("base64")}`;
    const messages = [{ role: "user", content: [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url } }] }];
    return [await chat(client, { messages }), ...(await chatStream(client, { messages }))];
  },
  embeddings_as_floats: (client) => client.embeddings.create({ model: "sim:ok", input: "hello", encoding_format: "float" }),
  async embeddings_as_base64(client) {
    const answer = await client.embeddings.create({ model: "sim:ok", input: "hello", encoding_format: "base64" });
    must(typeof answer.data[0].embedding === "string", "base64 text");
    return answer;
  },
  embeddings_by_default: (client) => client.embeddings.create({ model: "sim:ok", input: "hello" }),
  async embeddings_of_many(client) {
    const answer = await client.embeddings.create({ model: "sim:ok", input: Array.from({ length: 64 }, (_, n) => `text ${n}`) });
    must(answer.data.length === 64, "64 vectors");
    return answer;
  },
  async responses(client) {
    const answer = await client.responses.create({ model: MODEL, input: ASKED });
    must(answer.output_text, "text");
    return answer;
  },
  async responses_stream(client) {
    const events = await all(await client.responses.create({ model: MODEL, input: ASKED, stream: true }));
    must(events.at(-1).type === "response.completed", "response.completed at the end");
    return events;
  },
  responses_stream_final: (client) => client.responses.stream({ model: MODEL, input: ASKED }).finalResponse(),
  moderations: (client) => client.moderations.create({ model: "sim:ok", input: "a harmless text" }),
  async speech(client) {
    const sound = await client.audio.speech.create({ model: "sim:ok", voice: "alloy", input: "hello" });
    return new Uint8Array(await sound.arrayBuffer());
  },
  async transcription(client) {
    const file = await toFile(Buffer.alloc(64 * 1024, "RIFF"), "sound.wav");
    return client.audio.transcriptions.create({ model: "sim:ok", file });
  },
  async models(client) {
    const listed = await all(client.models.list());
    must(listed.length > 0, "models");
    return listed;
  },
  completions: (client) => client.completions.create({ model: MODEL, prompt: "Count" }),
  async completions_stream(client) {
    return all(await client.completions.create({ model: MODEL, prompt: "Count", stream: true }));
  },
  async raw_response(client) {
    const raw = await chat(client).asResponse();
    return [raw.status, raw.headers.get("content-type"), await raw.text()];
  },
  async raw_stream(client) {
    const raw = await chat(client, { stream: true }).asResponse();
    return [raw.status, raw.headers.get("content-type").split(";")[0], await raw.text()];
  },
  async with_response(client) {
    const { data, response } = await chat(client).withResponse();
    return [response.status, data];
  },
};

await run(connect, cases);
