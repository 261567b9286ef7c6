import type { AssembledMapped } from './assemble.ts';
import { type AssembleOptions, piecesBehindRam, ramOf, recordsBeforeRam } from './behind-ram.ts';
import { encodeDeltaStart } from './encode-delta.ts';

/**
 * Assembles a delta around existing device state, as `assembleMappedRam` assembles a whole snapshot (docs/format.md
 * §13). `vmdescription` must have the record of the base.
 * @throws {MappedRamError} as `stateSections` and `encodeDeltaStart`
 */
export function assembleDelta(options: AssembleOptions): AssembledMapped {
  const { state, configuration, blocks, base } = options;
  const { sectionId, targetPageSize } = ramOf(state);
  const start = encodeDeltaStart({
    configuration,
    blocks,
    sectionId,
    targetPageSize,
    records: recordsBeforeRam(state),
    ...(base === undefined ? {} : { base }),
  });
  const behind = piecesBehindRam(options, start.endOffset);
  const pieces = [...start.segments, ...behind.list];
  return { layout: start.layout, pieces, endOffset: behind.offset };
}
