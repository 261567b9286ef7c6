import type { ExecutionContext } from 'ava';

import { MappedRamError, verify, type VerifyResult } from '../../ts/index.ts';
import { OpenFile } from '../support/open-reader.ts';
import { readStreamIndex, walkStream } from '../../ts/stream/index.ts';
import { collect } from '../stream/strict-reader.ts';
import { damaged, type Corruption } from './corruption.ts';
import { corruptionsOf, type Target } from './corruptions.ts';
import { open } from 'node:fs/promises';

/** The seed of the corruptions. Every failure prints it: the list depends on nothing else. */
export const SEED = 20_240_817;

/** Codes of errors that refuse a damaged file as no snapshot at all: its first eight bytes are wrong, or gone. */
const NO_SNAPSHOT: ReadonlySet<string> = new Set([
  'ERR_MAPPED_RAM_BAD_MAGIC',
  'ERR_MAPPED_RAM_TRUNCATED',
  'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
]);

/**
 * Damages a snapshot in every way and asserts that `verify` says so. `verify` has the seal only for damage that nothing
 * else in the file contradicts.
 * @returns the number of ways
 */
export async function assertAllFound(
  t: ExecutionContext,
  path: string,
  { base = 0, perKind }: { readonly base?: number; readonly perKind: number },
): Promise<number> {
  const uri = `file:${path},offset=${base}`;
  const sealPath = `${path}.elsewhere`;
  t.deepEqual((await verify(uri, { seal: true, sealPath })).findings, []);
  const corruptions = await listOf(path, base, perKind);
  for (const corruption of corruptions) {
    await damaged(path, corruption.change, async () => {
      await assertFound(t, uri, corruption, corruption.hidden ? sealPath : undefined, base);
    });
  }
  return corruptions.length;
}

async function listOf(path: string, base: number, perKind: number): Promise<readonly Corruption[]> {
  await using file = await OpenFile.open(path);
  await using handle = await open(path, 'r');
  const index = await readStreamIndex(file, { offset: base });
  const records = await collect(walkStream(file, { offset: base }));
  const blocks = index.ram?.form === 'mapped-ram' ? index.ram.blocks : [];
  const target: Target = { handle, index, records, blocks };
  return await corruptionsOf(target, SEED, perKind);
}

async function assertFound(
  t: ExecutionContext,
  uri: string,
  { title, hidden, change }: Corruption,
  sealPath: string | undefined,
  base: number,
): Promise<void> {
  const what = `${title} (seed ${SEED})`;
  let result: VerifyResult;
  try {
    result = await verify(uri, { sealPath });
  } catch (error) {
    if (!(error instanceof MappedRamError)) throw error;
    const inHeader =
      change.kind === 'write'
        ? change.writes.every(({ offset }) => offset < base + 8)
        : change.kind === 'truncate' && change.size < base + 8;
    t.true(inHeader && NO_SNAPSHOT.has(error.code), `${what}: ${error.message}`);
    return;
  }
  // What follows the stream is no part of it: without a seal it is worth a warning only.
  const isFollowed = result.findings.some(({ code }) => code === 'trailing-bytes');
  t.true(!result.verified || (isFollowed && sealPath === undefined && !hidden), `${what}: not found`);
  if (hidden) {
    t.true(
      result.findings.some(({ code }) => code === 'metadata-differs' || code === 'pages-differ'),
      `${what}: ${JSON.stringify(result.findings)}`,
    );
  }
}
