import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import { assertWords } from '../io/option-words.ts';
import type { Output } from '../io/output.ts';
import { SEAL_OF } from '../seal/seal-file.ts';
import { assertDistinct, namedPlace, namedSource } from '../snapshot/distinct-places.ts';
import { createOutput, type SnapshotTarget, targetPlace } from '../snapshot/snapshot-target.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SnapshotSource } from '../snapshot/snapshot-source.ts';
import { usingSnapshot } from '../snapshot/using-snapshot.ts';
import { FLATTEN_FORMS, type FlattenOptions, type FlattenResult } from './flatten-options.ts';
import { writeFlatCopy } from './flat-copy.ts';
import { whyNoReflink, writeReflink } from './reflink.ts';
import { convertMapped } from './rewrite.ts';

/**
 * Makes a whole snapshot of a delta and its base. Any QEMU loads it, and the base is not needed any more.
 *
 * The file appears under its name only when it is complete, as with `pack`.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a snapshot that is whole already, or when the result is
 *   the delta or its base; ERR_MAPPED_RAM_UNSUPPORTED for `reflink` where the filesystem cannot, or the target is no new
 *   file beside the base; ERR_MAPPED_RAM_EXISTS, ERR_MAPPED_RAM_IO; and as `Snapshot.open`
 */
export async function flatten(
  source: SnapshotSource | Snapshot,
  target: SnapshotTarget,
  options: FlattenOptions = {},
): Promise<FlattenResult> {
  const startedAt = performance.now();
  assertOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  assertWords(options, { form: FLATTEN_FORMS });
  const place = targetPlace(target);
  const flat = await usingSnapshot(source, signal, async (snapshot) => {
    const { base, path } = snapshot;
    if (base === undefined) {
      throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'the snapshot is whole already', {
        path,
        expected: 'a delta',
      });
    }
    snapshot.completeRam();
    await assertDistinct([...namedSource('the delta', snapshot.reader), ...namedPlace('the result', place)]);
    const { overwrite = false } = options;
    await using output = await createOutput(place, { overwrite, signal, companions: SEAL_OF });
    const written = await write(snapshot, output, options);
    signal?.throwIfAborted();
    await output.finish();
    signal?.throwIfAborted();
    await output.publish();
    const { name, offset } = output;
    return { path: name, offset, ...written, source: { path, base: base.path } };
  });
  return { ...flat, elapsedMs: performance.now() - startedAt };
}

type Written = Pick<FlattenResult, 'size' | 'form' | 'why' | 'dataBytes'>;

async function write(snapshot: Snapshot, output: Output, options: FlattenOptions): Promise<Written> {
  const { form = 'auto' } = options;
  const why = form === 'copy' ? 'a copy was asked for' : await whyNoReflink(snapshot, output);
  if (why === undefined) {
    const { endOffset, dataBytes } = await writeReflink(snapshot, output, options);
    return {
      size: endOffset,
      form: 'reflink',
      why: 'the filesystem shares the blocks of the base',
      dataBytes,
    };
  }
  if (form === 'reflink') {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_UNSUPPORTED',
      `no file can share the blocks of the base: ${why}`,
      {
        path: output.name,
        expected: 'form auto or copy',
        found: form,
      },
    );
  }
  const { base, sources } = snapshot;
  const [own] = sources;
  const isLocal = output.file !== undefined && base?.reader.file !== undefined;
  const { endOffset, dataBytes } =
    isLocal && base !== undefined && own !== undefined
      ? await writeFlatCopy(snapshot, { own, base }, output, options)
      : await convertMapped(snapshot, output, options);
  return { size: endOffset, form: 'copy', why, dataBytes };
}
