import { open, readFile, stat, unlink } from 'node:fs/promises';

import { MappedRamError, systemCode } from '../errors.ts';
import { ioError, writeAt } from '../io/fd-io.ts';
import { DIGEST_BYTES, digestBytes } from '../engine/digest.ts';
import { StagedFile } from '../engine/staged-file.ts';
import type { Companions } from '../snapshot/companions.ts';
import { assertSealSize } from './assert-sealable.ts';
import { decodeSeal } from './decode-seal.ts';
import { encodeSeal } from './encode-seal.ts';
import { MAX_SEAL_BYTES, SEAL_MAGIC, type Seal } from './seal.ts';

/** The place of a snapshot's seal, unless the caller names another. */
function sealPathOf(snapshot: string): string {
  return `${snapshot}.seal`;
}

/**
 * Finds the path of a seal.
 * @param snapshot its path; undefined when it is given by descriptor
 * @param asked the path that the caller names, if any
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when nothing says where
 */
export function sealPathFor(snapshot: string | undefined, asked: string | undefined): string {
  const path = asked ?? (snapshot === undefined ? undefined : sealPathOf(snapshot));
  if (path !== undefined) return path;
  throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'nothing says where the seal goes', {
    expected: 'a sealPath for a snapshot that is given by descriptor',
  });
}

/**
 * Reads a seal.
 * @returns undefined when there is no such file
 * @throws {MappedRamError} as `decodeSeal` when it is no seal, or not as it was written; ERR_MAPPED_RAM_IO
 */
export async function readSeal(path: string): Promise<Seal | undefined> {
  const bytes = await readWhole(path);
  if (bytes === undefined) return undefined;
  const end = Math.max(0, bytes.length - DIGEST_BYTES);
  const content = bytes.subarray(0, end);
  // The format comes first: the digest of something that is no seal says nothing.
  const seal = decodeSeal(content, path);
  if (Buffer.compare(digestBytes(content), bytes.subarray(end)) === 0) return seal;
  throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'the seal is not as it was written', {
    path,
    offset: end,
  });
}

async function readWhole(path: string): Promise<Uint8Array | undefined> {
  try {
    const stats = await stat(path);
    const { size } = stats;
    // Reading a fifo would wait for a writer.
    if (!stats.isFile()) {
      throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'the seal', {
        path,
        expected: 'a regular file',
      });
    }
    if (size > MAX_SEAL_BYTES) {
      throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', 'size of the seal', {
        path,
        expected: `at most ${MAX_SEAL_BYTES}`,
        found: size,
      });
    }
    return await readFile(path);
  } catch (error) {
    if (error instanceof MappedRamError) throw error;
    if (systemCode(error) === 'ENOENT') return undefined;
    throw ioError('cannot read the seal', path, error);
  }
}

/**
 * A seal that is being made: it appears under its name when it is complete. Disposal removes a seal that was not
 * published.
 */
export class SealOutput implements AsyncDisposable {
  readonly path: string;
  readonly #staged: StagedFile;

  private constructor(path: string, staged: StagedFile) {
    this.path = path;
    this.#staged = staged;
  }

  /** @throws {MappedRamError} ERR_MAPPED_RAM_EXISTS unless `overwrite` is set, ERR_MAPPED_RAM_IO */
  static async create(path: string, overwrite: boolean, signal?: AbortSignal): Promise<SealOutput> {
    return new SealOutput(path, await StagedFile.create(path, { overwrite, signal }));
  }

  /** Writes the seal and makes it durable, not yet under its name. */
  async write(seal: Seal): Promise<void> {
    const content = encodeSeal(seal);
    assertSealSize(content.length + DIGEST_BYTES, this.path);
    const handle = await open(this.#staged.path, 'r+').catch((cause: unknown) => {
      throw ioError('cannot open the new seal', this.path, cause);
    });
    try {
      await writeAt(handle.fd, this.path, content, 0);
      await writeAt(handle.fd, this.path, digestBytes(content), content.length);
    } finally {
      await handle.close();
    }
    await this.#staged.sync();
  }

  /** Gives the seal its name. */
  async publish(): Promise<void> {
    await this.#staged.publish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#staged.discard();
  }
}

/** Tells whether there is a file that begins like a seal. */
export async function isSeal(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  // Opening a fifo would wait for a writer.
  const handle = stats?.isFile() === true ? await open(path, 'r').catch(() => undefined) : undefined;
  if (handle === undefined) return false;
  const start = Buffer.alloc(SEAL_MAGIC.length);
  try {
    await handle.read(start, 0, start.length, 0);
  } finally {
    await handle.close();
  }
  return Buffer.compare(start, SEAL_MAGIC) === 0;
}

/** The seal of a snapshot that is being replaced: it would call the new snapshot damaged. */
export const SEAL_OF: Companions = {
  check: async (snapshot) => {
    const path = sealPathOf(snapshot);
    // What can be replaced can be removed.
    if (await isSeal(path)) (await StagedFile.create(path, { overwrite: true })).discard();
  },
  remove: async (snapshot) => {
    const path = sealPathOf(snapshot);
    if (await isSeal(path)) await unlink(path);
  },
};
