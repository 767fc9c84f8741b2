// What the suites of the same call share: a plan on stdin, every call of it at once, one line of JSON for each.

import { text } from "node:stream/consumers";

// Short on purpose: slow answers come later than this.
export const LIMIT_MS = 1_000;
export const MESSAGES = [{ role: "user", content: "hello" }];

export async function run(connect) {
  const plan = JSON.parse(await text(process.stdin));
  await Promise.all(plan.map(async (entry) => {
    const ask = connect(entry);
    let line = { place: entry.place, answered: false, asked: 0 };
    // An application that asks again does so with the very same call.
    while (!line.answered && line.asked < entry.asks) {
      line.asked += 1;
      try {
        await ask(entry);
        line.answered = true;
      } catch (error) {
        line.by = `${error?.name}: ${error?.message}`.slice(0, 160);
      }
    }
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }));
}
