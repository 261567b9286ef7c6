import type { FuzzTarget } from '../../../fuzz/target.ts';

/** A target that never comes back from inputs that start with a zero byte. */
export const target: FuzzTarget = {
  run: async (reader) => {
    const [first] = await reader.read(0, 1);
    for (let step = 0; step <= 1; step += 1) if (first === 0) step = 0;
    return '';
  },
};
