// LangChain for Node: ChatOpenAI on both APIs, tools, batches, and OpenAIEmbeddings.

import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { all, ASKED, CALL_LIMIT_MS, MODEL, must, run, TOOL, TOOL_MODEL } from "./case.mjs";

function connect(baseURL, apiKey) {
  const options = { apiKey, configuration: { baseURL }, maxRetries: 0, timeout: CALL_LIMIT_MS };
  return {
    chat: new ChatOpenAI({ model: MODEL, ...options }),
    armed: new ChatOpenAI({ model: TOOL_MODEL, ...options }).bindTools([TOOL], { tool_choice: "required" }),
    responses: new ChatOpenAI({ model: MODEL, useResponsesApi: true, ...options }),
    vectors: new OpenAIEmbeddings({ model: "sim:ok", ...options }),
  };
}

// LangChain numbers its own runs at random and uses that number where no id came from the API; only that one is left out.
function messages(found) {
  return found.map((message) => {
    const { id, ...rest } = message.toDict().data;
    return /^(lc_)?run-/.test(id ?? "") ? rest : { id, ...rest };
  });
}

const cases = {
  invoke: async (client) => messages([await client.chat.invoke(ASKED)]),
  async stream(client) {
    const chunks = await all(await client.chat.stream(ASKED));
    must(chunks.length >= 8, "at least eight chunks");
    return messages(chunks);
  },
  batch: async (client) => messages(await client.chat.batch([0, 1, 2, 3].map((n) => `${ASKED} ${n}`))),
  async tools(client) {
    const answer = await client.armed.invoke(ASKED);
    must(answer.tool_calls.length > 0, "a tool call");
    return messages([answer]);
  },
  async tools_stream(client) {
    const chunks = await all(await client.armed.stream(ASKED));
    must(chunks.some((chunk) => chunk.tool_call_chunks?.length > 0), "a tool call");
    return messages(chunks);
  },
  responses: async (client) => messages([await client.responses.invoke(ASKED)]),
  responses_stream: async (client) => messages(await all(await client.responses.stream(ASKED))),
  embeddings: async (client) => [await client.vectors.embedQuery("hello"), await client.vectors.embedDocuments(["one", "two", "three"])],
};

await run(connect, cases);
