import type { FileIdentity } from '../../host/file-identity.ts';
import type { QmpClient } from '../../qmp/client.ts';

/** The memory of a guest that runs already, and still gets its pages from this process's side. */
export interface ComingMemory {
  /** The file that the pages come from; of a delta, the delta's own. */
  readonly file: FileIdentity;
  /** The name of that file. */
  readonly path: string;
  /** The place where the snapshot begins in the file, in bytes. */
  readonly offset: number;
  /** True when pages may have come that nobody has asked for. */
  readonly pushes: boolean;
  /**
   * Keeps QEMU from being told that it has everything, until the hold is disposed of: a page that QEMU lacks is one of
   * the file's as long as that has not happened, and nothing can be said of it afterwards.
   * @returns undefined when QEMU has everything
   * @throws the signal's reason
   */
  hold(signal: AbortSignal | undefined): Promise<Disposable | undefined>;
}

/** The memories on their way, by the connections over which guests are looked after. */
const coming = new WeakMap<QmpClient, ComingMemory>();

/** The memory that is on its way into a guest; undefined when it has all, and when another process or connection brings it. */
export function comingMemoryOf(qmp: QmpClient): ComingMemory | undefined {
  return coming.get(qmp);
}

/** Makes a memory known until the result is disposed of. */
export function tellComing(qmp: QmpClient, memory: ComingMemory): Disposable {
  coming.set(qmp, memory);
  return {
    [Symbol.dispose]: () => {
      if (coming.get(qmp) === memory) coming.delete(qmp);
    },
  };
}
