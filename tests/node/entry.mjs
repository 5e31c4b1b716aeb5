// The bytes of an entry: docs/reference/entry-format.md in JavaScript.

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { isUtf8 } from "node:buffer";
import { decode as fromMsgpack, encode as toMsgpack } from "@msgpack/msgpack";
import { compress, decompress, init } from "@bokuweb/zstd-wasm";

/**
 * @typedef {import("../../docs/reference/entry.d.ts").Encoding} Encoding
 * @typedef {import("../../docs/reference/entry.d.ts").Envelope} Envelope
 * @typedef {import("../../docs/reference/entry.d.ts").Payload} Payload
 * @typedef {import("../../docs/reference/entry.d.ts").Tag} Tag
 * @typedef {import("../../docs/reference/entry.d.ts").Value} Value
 */

await init(); // zstd is WebAssembly here; Node 22.15 and later have it in node:zlib

const MAGIC = 0xcb;
const SCHEMA = 2;
const HEADER = 38;
const ALWAYS_FRESH = 0xffffffff;
const MAX_BYTES = 8 * 2 ** 20;
const ZSTD = 0x01;
const AES_GCM = 0x02;

/** The bytes are no entry, or of another format: a miss, and to be deleted. */
export class UndecodableError extends Error {}

/** The entry is for readers with other keys: a miss, and to be left alone. */
export class UnreadableError extends Error {}

/**
 * Return what the bytes say; the payload is left as it is.
 * @param {Buffer} stored
 * @returns {Envelope}
 */
export function unpack(stored) {
  if (stored.length < HEADER) throw new UndecodableError("too few bytes for a header");
  const format = stored.readUInt8(1);
  const flags = stored.readUInt8(2);
  if (stored.readUInt8(0) !== MAGIC || format >> 4 !== SCHEMA || (format & 0x0f) > 3) {
    throw new UndecodableError("no entry of schema 2");
  }
  if (flags & ~(ZSTD | AES_GCM)) throw new UndecodableError("an unknown flag");
  const end = HEADER + stored.readUInt16BE(36);
  if (end > stored.length) throw new UndecodableError("the tag block is cut short");
  /** @type {Tag[]} */
  const tags = [];
  let at = HEADER;
  for (let left = stored.readUInt8(3); left > 0; left -= 1) {
    const past = at < end ? at + 1 + stored.readUInt8(at) : end;
    if (past + 16 > end) throw new UndecodableError("the tag block is cut short");
    const name = stored.toString("utf8", at + 1, past);
    tags.push({ name, version: stored.subarray(past, past + 16) });
    at = past + 16;
  }
  if (at !== end) throw new UndecodableError("the tag block is longer than its tags");
  const fresh = stored.readUInt32BE(28);
  return {
    schema: SCHEMA,
    encoding: /** @type {Encoding} */ (format & 0x0f),
    flags,
    version: stored.subarray(4, 20),
    createdMs: Number(stored.readBigUInt64BE(20)),
    freshMs: fresh === ALWAYS_FRESH ? null : fresh,
    costMs: stored.readUInt32BE(32),
    tags,
    payload: stored.subarray(end),
  };
}

/**
 * Return the first four bytes of an entry.
 * @param {Payload} payload
 * @param {number} tags
 */
export function head(payload, tags) {
  return Buffer.from([MAGIC, (SCHEMA << 4) | payload.encoding, payload.flags, tags]);
}

/**
 * Return the value of the entry at a key.
 * @param {string} key
 * @param {Buffer} stored
 * @param {Map<number, Uint8Array>} [keys] by id; when given, nothing unencrypted is taken
 * @returns {Value}
 */
export function open(key, stored, keys) {
  const { encoding, flags, payload } = unpack(stored);
  let data = Buffer.from(payload);
  if (flags & AES_GCM) data = decrypted(data, associated(stored.subarray(0, 4), key), keys);
  else if (keys) throw new UndecodableError("not encrypted");
  if (flags & ZSTD) data = decompressed(data);
  try {
    if (encoding === 0) return data;
    if (encoding === 3) return /** @type {Value} */ (fromMsgpack(data, { useBigInt64: true }));
    if (!isUtf8(data)) throw new UndecodableError("not UTF-8");
    return encoding === 1 ? data.toString() : JSON.parse(data.toString());
  } catch (error) {
    throw new UndecodableError(String(error));
  }
}

/**
 * Return a value ready for the write script.
 * @param {string} key
 * @param {Value} value
 * @param {{compressOver?: number, tags?: number, encryption?: {keyId: number, key: Uint8Array}}} how
 * @returns {Payload}
 */
export function pack(key, value, { compressOver = Infinity, tags = 0, encryption } = {}) {
  let { encoding, data } = encoded(value);
  let flags = 0;
  if (data.length > compressOver && data.length <= MAX_BYTES) {
    const frame = Buffer.from(compress(data, 3));
    if (frame.length < data.length) [data, flags] = [frame, ZSTD];
  }
  if (!encryption) return { encoding, flags, data };
  flags |= AES_GCM;
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", encryption.key, nonce);
  cipher.setAAD(associated(head({ encoding, flags, data }, tags), key));
  const id = Buffer.alloc(4);
  id.writeUInt32BE(encryption.keyId);
  const sealed = [id, nonce, cipher.update(data), cipher.final(), cipher.getAuthTag()];
  return { encoding, flags, data: Buffer.concat(sealed) };
}

/**
 * @param {Value} value
 * @returns {{encoding: Encoding, data: Buffer}}
 */
function encoded(value) {
  if (value instanceof Uint8Array) return { encoding: 0, data: Buffer.from(value) };
  if (typeof value === "string" && value.isWellFormed()) {
    return { encoding: 1, data: Buffer.from(value) };
  }
  if (fitsJson(value)) return { encoding: 2, data: Buffer.from(JSON.stringify(value)) };
  return { encoding: 3, data: Buffer.from(toMsgpack(value, { useBigInt64: true })) };
}

/**
 * Say whether JSON gives a value back as it is.
 * @param {Value} value
 * @returns {boolean}
 */
function fitsJson(value) {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value === "bigint" || value instanceof Uint8Array || value instanceof Map) return false;
  if (Array.isArray(value)) return value.every(fitsJson);
  if (typeof value === "object" && value !== null) return Object.values(value).every(fitsJson);
  return true;
}

/**
 * @param {Uint8Array} front the first four bytes of the entry
 * @param {string} key
 */
function associated(front, key) {
  return Buffer.concat([front, Buffer.from(key)]);
}

/**
 * @param {Buffer} data
 * @param {Buffer} aad
 * @param {Map<number, Uint8Array>} [keys]
 */
function decrypted(data, aad, keys) {
  if (data.length < 32) throw new UndecodableError("too few bytes for an encrypted payload");
  const keyId = data.readUInt32BE(0);
  const key = keys?.get(keyId);
  if (!key) throw new UnreadableError(`encrypted with key ${keyId}, which is not here`);
  const decipher = createDecipheriv("aes-256-gcm", key, data.subarray(4, 16));
  decipher.setAAD(aad);
  decipher.setAuthTag(data.subarray(-16));
  try {
    return Buffer.concat([decipher.update(data.subarray(16, -16)), decipher.final()]);
  } catch (error) {
    throw new UndecodableError(String(error));
  }
}

/** @param {Buffer} frame */
function decompressed(frame) {
  const size = contentSize(frame);
  if (!(size > 0 && size <= MAX_BYTES)) throw new UndecodableError("a frame of too many bytes");
  try {
    const data = Buffer.from(decompress(frame));
    if (data.length !== size) throw new Error("the frame does not hold what it says");
    return data;
  } catch (error) {
    throw new UndecodableError(String(error));
  }
}

/**
 * Return the size that a frame says, or NaN; RFC 8878, 3.1.1.
 * @param {Buffer} frame
 */
function contentSize(frame) {
  if (frame.length < 6 || frame.readUInt32LE(0) !== 0xfd2fb528) return NaN;
  const descriptor = frame.readUInt8(4);
  const single = (descriptor >> 5) & 1;
  const at = 5 + (single ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  const bytes = [single, 2, 4, 8][descriptor >> 6];
  if (!bytes || frame.length < at + bytes) return NaN;
  if (bytes === 8) return Number(frame.readBigUInt64LE(at));
  return frame.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0);
}
