// node program.mjs URL APP SCRIPTS: answers each line of JSON on stdin with one on stdout.
//
// What JSON lacks travels as {"$bytes": base64}, {"$float": text} or {"$int": digits}.

import { createInterface } from "node:readline";
import { Cache } from "./cache.mjs";
import { open } from "./entry.mjs";

/** @typedef {import("../../docs/reference/entry.d.ts").Value} Value */

const [url = "", app = "", scripts = ""] = process.argv.slice(2);
const cache = new Cache(url, app, scripts);

/** @param {any} sent @returns {Value} */
function received(sent) {
  if (Array.isArray(sent)) return sent.map(received);
  if (sent === null || typeof sent !== "object") return sent;
  if ("$bytes" in sent) return Buffer.from(sent.$bytes, "base64");
  if ("$float" in sent) return Number(sent.$float);
  if ("$int" in sent) return BigInt(sent.$int);
  return Object.fromEntries(Object.entries(sent).map(([name, part]) => [name, received(part)]));
}

/** @param {any} value @returns {unknown} */
function sent(value) {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (typeof value === "bigint") return { $int: value.toString() };
  if (typeof value === "number" && !Number.isFinite(value)) return { $float: String(value) };
  if (Array.isArray(value)) return value.map(sent);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, sent(part)]));
}

/** @param {any} ask */
async function answered(ask) {
  const { op, namespace, id, key } = ask;
  const secret = key && Buffer.from(key, "base64");
  const keys = secret && new Map([[ask.keyId, secret]]);
  if (op === "read") {
    const found = await cache.read(namespace, id, keys);
    return "value" in found ? { ...found, value: sent(found.value) } : found;
  }
  if (op === "write") {
    const encryption = secret && { keyId: ask.keyId, key: secret };
    return await cache.write(namespace, id, received(ask.value), { ...ask.how, encryption });
  }
  if (op === "invalidate") return await cache.invalidate(namespace);
  if (op === "invalidateTag") return await cache.invalidateTag(ask.tag);
  if (op === "open") {
    return sent(open(ask.entryKey, Buffer.from(ask.stored, "hex"), keys));
  }
  throw new Error(`no operation ${op}`);
}

for await (const line of createInterface({ input: process.stdin })) {
  /** @type {unknown} */
  let answer;
  try {
    answer = { answer: (await answered(JSON.parse(line))) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
cache.redis.disconnect();
