import { access, constants } from 'node:fs/promises';
import { tmpdir } from 'node:os';

/** Up to this size a state stream goes to memory, beyond that to the system's directory for temporary files. */
const SMALL = 64 * 2 ** 20;
const SHARED_MEMORY = '/dev/shm';

/** Where to keep a state stream that brings the pages of these blocks. */
export async function stateDirectory(blocks: readonly { readonly length: number }[]): Promise<string> {
  const bytes = blocks.reduce((sum, { length }) => sum + length, 0);
  if (bytes > SMALL) return tmpdir();
  return access(SHARED_MEMORY, constants.W_OK).then(
    () => SHARED_MEMORY,
    () => tmpdir(),
  );
}
