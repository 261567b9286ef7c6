import { resolve } from 'node:path';

import { MappedRamError } from '../errors.ts';
import { fileTargetOf } from '../io/file-target.ts';
import { checkMigrationAddress } from '../uri/check-migration-address.ts';
import { parseFdset } from '../uri/parse-fdset.ts';
import { parseMigrationUri, schemeOf } from '../uri/parse-migration-uri.ts';
import type { MigrationAddress } from '../uri/migration-address.ts';
import type { PlanTarget } from './request.ts';

/**
 * Reads and checks the target of a save or the source of a restore. QEMU gets an absolute path, because a relative one
 * belongs to this process.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_URI, ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_OUT_OF_RANGE for
 *   an offset above 2^53-1, ERR_MAPPED_RAM_UNSUPPORTED for `defer`
 */
export function planTarget(target: string | URL | MigrationAddress): PlanTarget {
  const address = addressOf(target);
  if (address.transport !== 'file') {
    if (address.transport !== 'defer') return { address, path: undefined, fdset: undefined, offset: 0 };
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'defer names no place', { path: 'defer' });
  }
  const { filename, offset } = address;
  if (typeof offset === 'bigint') {
    throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'the offset is too large', {
      path: filename,
      expected: `at most ${Number.MAX_SAFE_INTEGER}`,
      found: String(offset),
    });
  }
  const fdset = parseFdset(filename);
  if (fdset !== undefined) return { address, path: undefined, fdset, offset };
  const path = resolve(filename);
  return { address: { transport: 'file', filename: path, offset }, path, fdset, offset };
}

function addressOf(target: string | URL | MigrationAddress): MigrationAddress {
  if (typeof target !== 'string' && !(target instanceof URL)) {
    const address = checkMigrationAddress(target, 'target');
    if (address.transport === 'file' && address.filename === '') {
      throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'no file has an empty name');
    }
    return address;
  }
  const scheme = typeof target === 'string' ? schemeOf(target) : undefined;
  if (typeof target === 'string' && scheme !== undefined && scheme !== 'file')
    return parseMigrationUri(target);
  return { transport: 'file', ...fileTargetOf(target) };
}
