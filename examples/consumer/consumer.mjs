// The same consumer in Node: it keeps each customer's result of each day in a JSON file, with exact decimals.
//   npm install @aws-sdk/client-sqs && node consumer.mjs --queue-url URL [--state FILE] [--until-empty]
// The file with the effects of a call's messages is replaced before the messages are deleted, so a process that dies in
// between applies them again, which changes nothing. Run only one process per state file.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const TOKENS = /("(?:[^"\\]|\\.)*")|-?\d+(?:\.\d+)?/g;

// JSON.parse would round an amount of more than 15 digits: every number becomes a text of its exact digits.
export const parseExactly = (body) => JSON.parse(body.replace(TOKENS, (token, text) => text ?? `"${token}"`));

// Applies a message once. Returns its type, or "repeated"; throws if it is not understood.
export function apply(state, message) {
  const body = parseExactly(message.Body);
  const attribute = (name) => message.MessageAttributes[name]?.StringValue;
  const [batch, messageId] = [attribute("batch"), attribute("message_id")];
  if (!batch || !messageId) throw new Error("batch or message_id is missing");
  if (body.type === "error_message") {
    if (state.errors[messageId]) return "repeated";
    state.errors[messageId] = { ...body, batch };
  } else if (body.type === "customer_message" || body.type === "customer_removed") {
    const key = JSON.stringify([body.customer_reference, batch]);
    if (state.customers[key]?.message_id === messageId) return "repeated";
    const { type, customer_reference, ...result } = body;
    const removed = type === "customer_removed";
    const refused = attribute("refused_records") ?? "0"; // above 0: the amount is incomplete
    state.customers[key] = { customer_reference, batch, removed, ...result, refused_records: refused, message_id: messageId };
  } else {
    throw new Error(`unknown type ${body.type}`);
  }
  return body.type;
}

const load = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { customers: {}, errors: {} });

function save(state, file) {
  const descriptor = openSync(`${file}.new`, "w", 0o600);
  writeSync(descriptor, JSON.stringify(state));
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(`${file}.new`, file);
}

const groupOf = (message) => message.Attributes?.MessageGroupId ?? message.MessageId;

// Applies the messages of one call in order, but none of a group after one that failed; returns those that were applied.
export function applyAll(state, messages, count) {
  const blocked = new Set();
  return messages.filter((message) => {
    if (blocked.has(groupOf(message))) return false;
    try {
      count(apply(state, message));
      return true;
    } catch (error) {
      console.error(`message ${message.MessageId} is not understood: ${error.message}`);
      count("not understood"); // it comes again, and ends in the dead-letter queue
      blocked.add(groupOf(message));
      return false;
    }
  });
}

// Deletes messages, one of each group a call: if the earlier one can't be deleted, the later one must not be either.
export async function deleteAll(messages, deleteBatch) {
  for (let left = messages; left.length; ) {
    const firsts = [...new Map([...left].reverse().map((message) => [groupOf(message), message])).values()];
    const Entries = firsts.map(({ ReceiptHandle }, number) => ({ Id: `${number}`, ReceiptHandle }));
    const { Failed = [] } = await deleteBatch(Entries);
    const failed = new Set(Failed.map(({ Id }) => groupOf(firsts[Number(Id)])));
    left = left.filter((message) => !firsts.includes(message) && !failed.has(groupOf(message)));
  }
}

async function main() {
  const options = { "queue-url": { type: "string" }, state: { type: "string", default: "consumer.json" }, "until-empty": { type: "boolean" } };
  const given = parseArgs({ options }).values;
  const { SQSClient, ReceiveMessageCommand, DeleteMessageBatchCommand } = await import("@aws-sdk/client-sqs");
  const [sqs, state, counts, QueueUrl] = [new SQSClient(), load(given.state), {}, given["queue-url"]];
  let stop = false;
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => (stop = true));
  while (!stop) {
    const { Messages: messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: given["until-empty"] ? 1 : 20,
        MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["MessageGroupId"],
      }),
    );
    if (!messages.length && given["until-empty"]) break;
    const done = applyAll(state, messages, (what) => (counts[what] = (counts[what] ?? 0) + 1));
    save(state, given.state);
    await deleteAll(done, (Entries) => sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries })));
  }
  console.log(Object.entries(counts).map(([what, count]) => `${count} ${what}`).join(", ") || "no message");
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
