import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import { assertSealable } from '../seal/assert-sealable.ts';
import { makeSeal } from '../seal/make-seal.ts';
import { readSeal, SealOutput, sealPathFor } from '../seal/seal-file.ts';
import { PIECE_SIZE, type Seal } from '../seal/seal.ts';
import { assertDistinct, namedSource } from '../snapshot/distinct-places.ts';
import { namedFile, type OpenSource } from '../io/open-source.ts';
import { Snapshot } from '../snapshot/snapshot.ts';
import {
  type OpenedSource,
  openPlace,
  type SnapshotSource,
  sourcePlace,
} from '../snapshot/snapshot-source.ts';
import type { MappedRamIndex, StreamIndex } from '../stream/stream-index.ts';
import type { TransferOptions, TransferReport } from '../engine/transfer-options.ts';
import { checkBitmaps } from './check-bitmaps.ts';
import { checkBlocks } from './check-blocks.ts';
import { checkDescription } from './check-description.ts';
import { checkSeal } from './check-seal.ts';
import { checkStream } from './check-stream.ts';
import type { Finding } from './finding.ts';
import { readIndex, withBase } from './opened.ts';
import { scanPages, unreadableFinding } from './scan-pages.ts';

export interface VerifyOptions extends TransferOptions {
  /**
   * Seals the snapshot when it has no defect: writes digests of its pages and of everything else to a small file beside
   * it. Later calls check against that file. @default false
   */
  readonly seal?: boolean | undefined;
  /**
   * Path of the seal to check against or to write. A seal that is named here must exist, one by default need not.
   * @default the snapshot's path and `.seal`; a snapshot that is given by descriptor has none
   */
  readonly sealPath?: string | undefined;
  /** True when a new seal may replace an existing one, unchecked; only with `seal`. @default false */
  readonly overwrite?: boolean | undefined;
}

export interface VerifyResult {
  /** The snapshot's name, as the caller gave it. */
  readonly path: string;
  /** Offset of the stream's start in the file, in bytes. */
  readonly offset: number;
  /** Apparent size of the file, in bytes. */
  readonly size: number;
  /** True when no finding is an error. */
  readonly verified: boolean;
  readonly findings: readonly Finding[];
  /**
   * The seal that was checked against or written; or one that exists but could not be checked against, which is a
   * finding. Undefined without a seal.
   */
  readonly seal: { readonly path: string; readonly state: 'checked' | 'written' | 'unusable' } | undefined;
  /** The engine's report on reading the pages; undefined when they could not be read. */
  readonly transfer: TransferReport | undefined;
  /** Milliseconds that the whole call took. */
  readonly elapsedMs: number;
}

/**
 * Proves that a snapshot is whole, as far as that can be known. The proof covers the structure, the bitmaps, the
 * vmdescription against the device sections, and that every set page can be read. A seal adds that every byte is as
 * sealed. A defect is a finding, not an error. Of a delta the proof covers the base, too: the two are one snapshot, and a
 * seal of a delta is of both.
 *
 * @param source a snapshot, by its place or open; an open one stays open
 * @throws {MappedRamError} ERR_MAPPED_RAM_BAD_MAGIC, ERR_MAPPED_RAM_UNSUPPORTED_VERSION or ERR_MAPPED_RAM_TRUNCATED
 * when it does not begin like a migration stream; ERR_MAPPED_RAM_UNSUPPORTED for a plain stream, for set pages that are
 * too many for the seal that is to be made, and for a compressed libvirt image; ERR_MAPPED_RAM_INCOMPLETE for a libvirt
 * image that was not finished; ERR_MAPPED_RAM_EXISTS for the seal; ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_IO,
 * ERR_MAPPED_RAM_INVALID_URI, and what a transfer throws; ERR_MAPPED_RAM_BASE, ERR_MAPPED_RAM_BUSY for a delta whose base
 * cannot be used
 */
export async function verify(
  source: SnapshotSource | Snapshot,
  options: VerifyOptions = {},
): Promise<VerifyResult> {
  const startedAt = performance.now();
  assertOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  const findings: Finding[] = [];
  let verified: Omit<VerifyResult, 'elapsedMs'>;
  if (source instanceof Snapshot) {
    const { reader, index } = source.until(signal);
    const { base } = index;
    // The index is read anew: the file may have changed since the snapshot was opened.
    const now = await readIndex(reader, base, findings);
    verified = await verifyOpened({ reader, base }, now, findings, options);
  } else {
    await using opened = await openPlace(sourcePlace(source), signal);
    const index = await readIndex(opened.reader, opened.base, findings);
    await using whole = await withBase(opened, index);
    verified = await verifyOpened(whole, index, findings, options);
  }
  return { ...verified, elapsedMs: performance.now() - startedAt };
}

/**
 * @param index of the source; undefined when the stream breaks off in its first records
 * @param findings those about the index, to which the others are added
 */
async function verifyOpened(
  opened: OpenedSource,
  index: StreamIndex | undefined,
  findings: Finding[],
  options: VerifyOptions,
): Promise<Omit<VerifyResult, 'elapsedMs'>> {
  const { signal } = options;
  const { reader, base } = opened;
  const sealPath = await sealPathIn(reader, options);
  await using output =
    options.seal === true && sealPath !== undefined
      ? await SealOutput.create(sealPath, options.overwrite ?? false, signal)
      : undefined;
  const ram = mappedRam(index, reader.name);
  if (index !== undefined) findings.push(...(await checkMetadata(reader, index, ram)));
  signal?.throwIfAborted();

  const seal = output === undefined ? await findSeal(sealPath, options, base, findings) : undefined;
  let transfer: TransferReport | undefined;
  let state: 'checked' | 'written' | 'unusable' | undefined = seal === 'unusable' ? seal : undefined;
  if (seal !== undefined && seal !== 'unusable') {
    const checked = await checkSeal(seal, opened, options);
    findings.push(...checked.findings);
    transfer = checked.report;
    state = 'checked';
  } else if (ram !== undefined) {
    const blocks = ram.blocks.filter(({ skipped }) => !skipped);
    const pieceSize = output === undefined ? undefined : PIECE_SIZE;
    if (output !== undefined && isSound(findings)) await assertSealable(reader, blocks, output.path);
    const scan = await scanPages(reader, { blocks, pieceSize }, options);
    findings.push(...scan.findings);
    transfer = scan.report;
    if (output !== undefined && isSound(findings)) {
      const { pieces } = scan;
      const { size } = reader;
      const part = { source: reader, base, size, pageSize: ram.targetPageSize, blocks, pieces };
      await output.write(await makeSeal(part, signal));
      signal?.throwIfAborted();
      await output.publish();
      state = 'written';
    }
  }
  return {
    path: reader.name,
    offset: base,
    size: reader.size,
    verified: isSound(findings),
    findings,
    seal: state === undefined || sealPath === undefined ? undefined : { path: sealPath, state },
    transfer,
  };
}

function isSound(findings: readonly Finding[]): boolean {
  return findings.every(({ severity }) => severity !== 'error');
}

/** Returns undefined when there is no seal, and none is to be made. */
async function sealPathIn(
  reader: OpenSource,
  { seal, sealPath }: VerifyOptions,
): Promise<string | undefined> {
  const path = namedFile(reader)?.path;
  if (path === undefined && seal !== true) return sealPath;
  const found = sealPathFor(path, sealPath);
  await assertDistinct([...namedSource('the snapshot', reader), { role: 'the seal', path: found }]);
  return found;
}

function mappedRam(index: StreamIndex | undefined, path: string): MappedRamIndex | undefined {
  const ram = index?.ram;
  if (ram?.form !== 'plain') return ram;
  throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'only mapped-ram files can be verified', {
    path,
    expected: 'a mapped-ram file',
    found: 'a plain stream',
  });
}

async function checkMetadata(
  reader: OpenSource,
  index: StreamIndex,
  ram: MappedRamIndex | undefined,
): Promise<readonly Finding[]> {
  const blocks = ram?.blocks ?? [];
  const findings = [
    ...(await checkStream(reader, index)),
    ...checkBlocks(blocks, { isDelta: reader.overlay !== undefined, base: index.base }),
    ...checkDescription(index),
  ];
  try {
    return [...findings, ...(await checkBitmaps(reader, ram ?? { blocks, ended: false }))];
  } catch (error) {
    const finding = unreadableFinding(error);
    if (finding === undefined) throw error;
    return [...findings, finding];
  }
}

/** Reads the seal to check against. An unusable seal becomes a finding, too. */
async function findSeal(
  path: string | undefined,
  { sealPath: asked }: VerifyOptions,
  base: number,
  findings: Finding[],
): Promise<Seal | 'unusable' | undefined> {
  if (path === undefined) return undefined;
  const unusable = (message: string): 'unusable' => {
    findings.push({ severity: 'error', code: 'seal-unusable', message });
    return 'unusable';
  };
  let seal: Seal | undefined;
  try {
    seal = await readSeal(path);
  } catch (error) {
    if (!(error instanceof MappedRamError) || error.code === 'ERR_MAPPED_RAM_IO') throw error;
    return unusable(error.message);
  }
  if (seal === undefined && asked !== undefined) {
    throw new MappedRamError('ERR_MAPPED_RAM_IO', 'there is no seal', { path });
  }
  if (seal === undefined || seal.base === base) return seal;
  return unusable(`${path}: the seal is of a snapshot at offset ${seal.base}, not at ${base}`);
}
