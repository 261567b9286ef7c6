import { assembleOver } from '../../delta/assemble-over.ts';
import { allocateClone, behindClone, whyNoClone, whyNotBehind } from '../../convert/reflink.ts';
import { MappedRamError } from '../../errors.ts';
import type { Output } from '../../io/output.ts';
import { ASKED } from '../../negotiate/decide.ts';
import type { SaveRequest } from '../../negotiate/request.ts';
import type { BaseIdentity } from '../../snapshot/base-identity.ts';
import type { DeltaBase } from '../../snapshot/delta-base.ts';
import type { Snapshot } from '../../snapshot/snapshot.ts';
import type { PageArea } from '../../stream/page-area.ts';
import { readVmdescriptionFor } from '../../stream/vmdescription/rewrite-vmdescription.ts';
import { assembleMappedRam } from '../../stream/write/assemble.ts';
import { mappedConfiguration } from '../../stream/write/configuration-forms.ts';
import type { StreamPiece } from '../../stream/write/pieces.ts';
import type { CaptureKind } from './captured-parts.ts';

/** The form that a guest is written in, which is certain before the guest is stopped. */
export interface CaptureForm {
  readonly kind: CaptureKind;
  /** The reason in words. */
  readonly why: string;
}

/** The places of everything in an output of that form. */
export interface CaptureLayout {
  readonly areas: ReadonlyMap<string, PageArea>;
  /** Everything but pages and bitmaps. */
  readonly pieces: readonly StreamPiece[];
  /** Offset of the stream's end. */
  readonly endOffset: number;
}

/**
 * Chooses the form, and makes the output a clone of the base where that is it.
 * @param base a whole snapshot; undefined for a save of all of the memory
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for `whole` where no file can share the blocks of the base;
 *   ERR_MAPPED_RAM_IO
 */
export async function chooseForm(
  output: Output,
  base: Snapshot | undefined,
  form: SaveRequest['form'] = 'auto',
): Promise<CaptureForm> {
  if (base === undefined) return { kind: 'whole', why: 'all of the memory is written' };
  if (form === 'delta') return { kind: 'delta', why: ASKED };
  const why = await whyNoClone(asBase(base), output);
  if (why === undefined) return { kind: 'clone', why: SHARED };
  if (form === 'auto') return { kind: 'delta', why: unshared(why) };
  throw noWhole(why, output.name);
}

/** The reason for a whole snapshot over a base. */
export const SHARED = 'the filesystem shares the blocks of the base';

/** The reason for a delta where a whole snapshot would do as well. @param why no file can be a clone, in words */
export function unshared(why: string): string {
  return `no file can share the blocks of the base: ${why}`;
}

/** The refusal of a whole snapshot over a base. */
export function noWhole(why: string, path: string | undefined): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', unshared(why), {
    path,
    expected: 'form auto or delta; or base none, which writes all of the memory',
    found: 'whole',
  });
}

/**
 * Lays the output out around the device state, and gives it its size.
 * @param path the name that the snapshot gets
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when the state does not go behind a clone of the base; as
 *   `assembleMappedRam`, `assembleOver` and the output
 */
export async function layOut(
  output: Output,
  { kind }: CaptureForm,
  state: Snapshot,
  over: {
    readonly base: Snapshot | undefined;
    readonly path: string | undefined;
    /** What is recorded of the base of a delta. */
    readonly identity: BaseIdentity | undefined;
    readonly signal: AbortSignal | undefined;
  },
): Promise<CaptureLayout> {
  const { base, path, identity, signal } = over;
  const { reader, index } = state;
  const { offset } = output;
  if (base === undefined || kind === 'whole') {
    const configuration = mappedConfiguration(index.configuration);
    const { layout, pieces, endOffset } = assembleMappedRam({
      state: index,
      configuration,
      blocks: (index.ram?.blocks ?? []).map(({ id, length }) => ({ id, length })),
      vmdescription: await readVmdescriptionFor(reader, index, configuration),
      base: offset,
    });
    await output.allocate(endOffset);
    return { areas: areasOf(layout.blocks), pieces, endOffset };
  }
  if (kind === 'delta') {
    const { layout, pieces, endOffset } = await assembleOver(base, state, { path, offset, identity, signal });
    await output.allocate(endOffset);
    return { areas: areasOf(layout.blocks), pieces, endOffset };
  }
  const below = asBase(base);
  const why = whyNotBehind(below, index);
  if (why !== undefined) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_UNSUPPORTED',
      `the device state does not go with the base: ${why}`,
      {
        path: base.path,
        expected: 'form delta',
      },
    );
  }
  const behind = await behindClone(below, state, []);
  await allocateClone(output, behind);
  return { areas: areasOf(below.blocks), pieces: behind.pieces, endOffset: behind.endOffset };
}

/** A base as what is cloned. */
export function asBase(base: Snapshot): DeltaBase {
  const { path, reader, index } = base;
  return { path, reader, index, blocks: base.completeRam().blocks };
}

function areasOf(
  blocks: readonly { readonly id: string; readonly area: PageArea }[],
): ReadonlyMap<string, PageArea> {
  return new Map(blocks.map(({ id, area }) => [id, area]));
}
