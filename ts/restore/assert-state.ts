import { assertOptions } from '../io/assert-options.ts';
import { MappedRamError } from '../errors.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { Mode } from './modes/mode.ts';
import { MODES } from './modes/modes.ts';
import { describeIdentity, identify } from './snapshot-identity.ts';
import type { StateStream } from './state-stream.ts';

/**
 * Makes sure that a state stream was made for this very restore: another restore's stream would give the guest devices
 * that its memory knows nothing of.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT when it was not, or the mode needs none
 */
export function assertStateFor(
  state: StateStream,
  snapshot: Snapshot,
  mode: Mode,
  blocks: readonly string[],
): void {
  const { path } = snapshot;
  assertOptions(state, 'state');
  const { options, identity } = state;
  assertOptions(options, 'options of the state');
  assertOptions(identity, 'identity of the state');
  if (mode.state === undefined) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      `mode ${mode.name} has no use for state: ${mode.whyNoOthers}`,
      { path },
    );
  }
  const found = describeIdentity(identify(snapshot));
  if (found !== describeIdentity(identity)) {
    throw new MappedRamError(
      'ERR_MAPPED_RAM_INVALID_ARGUMENT',
      'the state stream is of another snapshot, or of this one before it was written again',
      { path, expected: found, found: describeIdentity(identity) },
    );
  }
  const { inPlace, mapped = false } = options;
  const isSame = inPlace.toSorted().join('\n') === blocks.toSorted().join('\n');
  if (isSame && mapped === mode.state.mapped) return;
  const made = MODES.find((candidate) => candidate.state?.mapped === mapped);
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    'the state stream is for another kind of restore',
    {
      path,
      expected: `${mode.name}, blocks ${blocks.join(', ')}`,
      found: `${made?.name}, blocks ${inPlace.join(', ')}`,
    },
  );
}
