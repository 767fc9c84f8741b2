// How a Node suite runs: each case is called with its client and prints one JSON line of all that the client yielded.

export const MODEL = "sim:tokens=8";
export const TOOL_MODEL = "sim:tokens=8,tools=2";
export const REASONING_MODEL = "sim:tokens=8,reasoning=4";
export const ASKED = "Count from one to eight.";
export const TALK = [{ role: "user", content: ASKED }];
export const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
export const TOOL = { type: "function", function: { name: "weather", description: "The weather of a city.", parameters: CITY } };
// Well under the runner's limit for a whole suite, well over what a loaded machine needs for one call.
export const CALL_LIMIT_MS = 60_000;

// A case that yields nothing of its kind would be equal on both sides and prove nothing.
export function must(holds, what) {
  if (!holds) throw new Error(`expected ${what}`);
}

export async function all(events) {
  const seen = [];
  for await (const event of events) seen.push(event);
  return seen;
}

function plain(_name, value) {
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("hex") };
  return value;
}

// `suite.mjs BASE_URL [CASE...]`, the key in CLIENT_KEY. `connect(baseURL, key)` makes what the cases are called with.
export async function run(connect, cases) {
  const [baseURL, ...wanted] = process.argv.slice(2);
  const client = connect(baseURL, process.env.CLIENT_KEY);
  for (const [name, body] of Object.entries(cases)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    let line;
    try {
      line = { case: name, seen: await body(client) };
    } catch (error) {
      line = { case: name, failed: `${error?.name}: ${error?.message}`.slice(0, 600) };
    }
    process.stdout.write(`${JSON.stringify(line, plain)}\n`);
  }
}
