// Reading and writing entries on a server, standalone or behind Sentinel.

import { readFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { UndecodableError, UnreadableError, head, open, pack, unpack } from "./entry.mjs";

/** @typedef {import("../../docs/reference/entry.d.ts").Value} Value */

const ALWAYS_FRESH = 0xffffffff;

export class Cache {
  /**
   * @param {string} url
   * @param {string} app
   * @param {string} scripts the folder of write.lua
   */
  constructor(url, app, scripts) {
    this.redis = new Redis(url);
    this.app = app;
    this.redis.defineCommand("valkeyctlWrite", {
      numberOfKeys: 3,
      lua: readFileSync(`${scripts}/write.lua`, "utf8"),
    });
  }

  /**
   * Return what holds: the value and its tags, or why there is none. Plain commands do, for
   * what is compared is read after the entry.
   * @param {string} namespace
   * @param {string} id
   * @param {Map<number, Uint8Array>} [keys]
   */
  async read(namespace, id, keys) {
    const key = `${this.app}:${namespace}:${id}`;
    const [version, stored] = await this.redis.mgetBuffer(this.#version(namespace), key);
    if (!stored) return { miss: "absent" };
    try {
      const entry = unpack(stored);
      const held = entry.tags.length
        ? await this.redis.mgetBuffer(entry.tags.map((tag) => this.#tag(tag.name)))
        : [];
      const holds =
        version?.equals(entry.version) &&
        entry.tags.every((tag, at) => held[at]?.equals(tag.version));
      if (!holds) return { miss: "stale" };
      const { freshMs, costMs, tags } = entry;
      return { value: open(key, stored, keys), freshMs, costMs, tags: tags.map((tag) => tag.name) };
    } catch (error) {
      if (error instanceof UnreadableError) return { miss: "unreadable" };
      if (!(error instanceof UndecodableError)) throw error;
      await this.redis.unlink(key);
      return { miss: "corrupt" };
    }
  }

  /**
   * Store a value under the versions that hold now; false when the server refused.
   * @param {string} namespace
   * @param {string} id
   * @param {Value} value
   * @param {{ttlMs: number, freshMs?: number, tags?: string[], compressOver?: number,
   *   encryption?: {keyId: number, key: Uint8Array}}} how
   */
  async write(namespace, id, value, { ttlMs, freshMs, tags = [], ...how }) {
    const key = `${this.app}:${namespace}:${id}`;
    const payload = pack(key, value, { ...how, tags: tags.length });
    const write = /** @type {Redis & {valkeyctlWrite(...words: unknown[]): Promise<number>}} */ (
      this.redis
    );
    const stored = await write.valkeyctlWrite(
      this.#version(namespace),
      key,
      `${this.app}:~load:${namespace}:${id}`,
      "", // the version it was loaded under: whatever holds now
      "", // no lease of ours; ends another's
      ttlMs,
      freshMs ?? ALWAYS_FRESH,
      0,
      randomBytes(8),
      this.#tag(""),
      `${this.app}:~loads`,
      head(payload, tags.length),
      payload.data,
      ...tags.flatMap((tag) => [tag, ""]),
    );
    return stored === 1;
  }

  /** @param {string} namespace */
  async invalidate(namespace) {
    await this.redis.unlink(this.#version(namespace));
  }

  /** @param {string} tag */
  async invalidateTag(tag) {
    await this.redis.unlink(this.#tag(tag));
  }

  /** @param {string} namespace */
  #version(namespace) {
    return `${this.app}:~version:${namespace}`;
  }

  /** @param {string} tag */
  #tag(tag) {
    return `${this.app}:~tag:${tag}`;
  }
}
