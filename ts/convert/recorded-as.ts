import type { LibvirtImage } from '../stream/read/libvirt-image.ts';
import type { RandomAccessReader } from '../stream/reader.ts';
import {
  liveState,
  readGlobalState,
  runStatePatch,
  STATES_NOT_TAKEN,
  type StreamPatch,
} from '../stream/global-state.ts';
import type { StreamIndex } from '../stream/stream-index.ts';

/** The run state that a result records. */
export interface RecordedAs {
  /** In QEMU's words; undefined when the source does not tell. */
  readonly runState: string | undefined;
  /** The changes to the source's bytes. */
  readonly patches: readonly StreamPatch[];
}

/**
 * Works out the run state that the result of a conversion records. It is that of the source, with two exceptions:
 * libvirt stops every guest before it saves it, and its header says that the guest ran; and QEMU takes no guest over in
 * some states (docs/format.md §1.4, §12).
 * @throws {MappedRamError} the reader's errors
 */
export async function recordedAs(
  reader: RandomAccessReader,
  index: StreamIndex,
  libvirt: LibvirtImage | undefined,
): Promise<RecordedAs> {
  const found = await readGlobalState(reader, index);
  if (found === undefined) return { runState: undefined, patches: [] };
  const { runState } = found;
  if (runState === 'paused' && libvirt?.wasRunning === true) return changed(liveState(found));
  return STATES_NOT_TAKEN.has(runState) ? changed('paused') : { runState, patches: [] };

  function changed(wanted: string): RecordedAs {
    return found === undefined
      ? { runState: undefined, patches: [] }
      : { runState: wanted, patches: [runStatePatch(found, wanted)] };
  }
}
