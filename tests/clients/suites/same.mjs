// What the suites of the same call share: a plan on stdin, every call of it at once, one line of JSON for each.

import { text } from "node:stream/consumers";

// Short on purpose: slow answers come later than this.
export const LIMIT_MS = 1_000;
// An application waits no longer for a client that tries on and on, as LangChain's does for a minute.
const PATIENCE_MS = 15_000;
export const MESSAGES = [{ role: "user", content: "hello" }];

export async function run(connect) {
  const plan = JSON.parse(await text(process.stdin));
  // A cold start alone may last as long as the limit: code is loaded and compiled before anything is counted.
  for (const stream of [false, true]) {
    const warm = { ...plan[0], url: plan[0].warm_url ?? plan[0].url, model: "sim:ok", stream };
    for (let times = 0; times < 2; times++) await connect(warm).then((ask) => ask(warm)).catch(() => {});
  }
  await Promise.all(plan.map(async (entry) => {
    const [ask, patience] = [await connect(entry), entry.patience_ms ?? PATIENCE_MS];
    let line = { place: entry.place, answered: false, asked: 0 };
    // An application that asks again does so with the very same call.
    while (!line.answered && line.asked < entry.asks) {
      line.asked += 1;
      try {
        await Promise.race([ask(entry), new Promise((_, reject) => setTimeout(reject, patience, new Error("out of patience")).unref())]);
        line.answered = true;
      } catch (error) {
        line.by = `${error?.name}: ${error?.message}`.slice(0, 160);
      }
    }
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }));
  // What still tries is of no use to anybody.
  process.stdout.write("", () => process.exit(0));
}
