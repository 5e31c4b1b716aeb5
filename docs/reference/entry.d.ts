/**
 * An entry of valkeyctl as it lies in Valkey; entry-format.md beside this file is the
 * description. Numbers in it are big endian.
 */

/** What an encoding gives back. JSON has neither bytes nor keys other than strings. */
export type Scalar = string | number | bigint | boolean | null | Uint8Array;
export type Value = Scalar | Value[] | { [key: string]: Value } | Map<Scalar, Value>;

/** Low half of the second byte. */
export type Encoding =
  | 0 // the payload itself, bytes
  | 1 // text, UTF-8
  | 2 // JSON, UTF-8
  | 3; // msgpack, without extension types

/** The third byte, 0 to 3: the sum of what was done to the encoded value, in this order. */
export type Flags = number;
export type Zstd = 0x01;
export type AesGcm = 0x02;

/** A tag, with the version that it was written under. */
export interface Tag {
  /** 1 to 128 bytes of UTF-8 */
  readonly name: string;
  /** 16 bytes; the entry is valid while the tag's version key holds the same */
  readonly version: Uint8Array;
}

/** An entry, taken apart. */
export interface Envelope {
  /** High half of the second byte; anything else is no entry */
  readonly schema: 2;
  readonly encoding: Encoding;
  readonly flags: Flags;
  /** 16 bytes; the entry is valid while the namespace's version key holds the same */
  readonly version: Uint8Array;
  /** Milliseconds since 1970 by the server's clock; below 2 ** 53 */
  readonly createdMs: number;
  /** Milliseconds after that it is fresh; null as long as it exists (0xffffffff) */
  readonly freshMs: number | null;
  /** Milliseconds that loading the value took; 0 when nobody measured it */
  readonly costMs: number;
  /** At most 32 */
  readonly tags: readonly Tag[];
  /** The encoded value, compressed and encrypted as the flags say */
  readonly payload: Uint8Array;
}

/** A value on its way to the server: the write script makes the rest of the entry. */
export interface Payload {
  readonly encoding: Encoding;
  readonly flags: Flags;
  readonly data: Uint8Array;
}

/** What a payload under AES-256-GCM consists of. */
export interface Sealed {
  /** Which key of the key ring; 4 bytes */
  readonly keyId: number;
  /** 12 bytes, never the same twice under one key */
  readonly nonce: Uint8Array;
  /** As long as what was encrypted */
  readonly ciphertext: Uint8Array;
  /** 16 bytes */
  readonly authTag: Uint8Array;
}
