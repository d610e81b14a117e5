// Lets the Node consumer apply messages from standard input, in calls of ten, and prints its state and what it deleted.
// With a folder of schemas and ajv, each body is validated too.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { applyAll, deleteAll, parseExactly } from "../consumer/consumer.mjs";

const { messages, undeletable = [], schema, ajv } = JSON.parse(readFileSync(0, "utf8"));
const [state, counts, calls] = [{ customers: {}, errors: {} }, {}, []];
if (ajv) {
  const Ajv = createRequire(ajv)("ajv/dist/2020").default;
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(JSON.parse(readFileSync(schema, "utf8")));
  for (const { Body } of messages) if (!validate(JSON.parse(Body))) throw new Error(`${Body}: ${JSON.stringify(validate.errors)}`);
}
for (let start = 0; start < messages.length; start += 10) {
  const done = applyAll(state, messages.slice(start, start + 10), (what) => (counts[what] = (counts[what] ?? 0) + 1));
  await deleteAll(done, async (entries) => {
    calls.push(entries.map((entry) => entry.ReceiptHandle));
    return { Failed: entries.filter((entry) => undeletable.includes(entry.ReceiptHandle)) };
  });
}
console.log(JSON.stringify({ state, counts, calls, exact: parseExactly('{"a":-1.50,"b":"2,3 \\" 4","c":[12345678901234567890.0001]}') }));
