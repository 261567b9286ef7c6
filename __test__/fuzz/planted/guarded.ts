import type { FuzzTarget } from '../../../fuzz/target.ts';

/** A target with a fault behind three bytes, which are hardly guessed all at once. */
export const target: FuzzTarget = {
  run: async (reader) => {
    const bytes = await reader.read(0, Math.min(8, reader.size));
    return passes(bytes) ? 'through' : '';
  },
};

function passes(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0x9a) return false;
  if (bytes[1] !== 0x3c) return false;
  if (bytes[2] !== 0xe1) return false;
  throw new TypeError('planted');
}
