import { availableMemory, type AvailableMemory } from '../host/available-memory.ts';

/** Keeps a pool from starting QEMUs while memory is short. */
export class MemoryFloor {
  readonly #floor: number;
  readonly #available: () => AvailableMemory | undefined;
  #heldBack: string | undefined;

  /**
   * @param floor bytes that have to stay free; 0 is no floor
   * @param available tells what is left, for tests
   */
  constructor(floor: number, available: () => AvailableMemory | undefined = availableMemory) {
    this.#floor = floor;
    this.#available = available;
  }

  /** The reason why no QEMU may be started, in words; undefined when there was enough memory at the last look. */
  get heldBack(): string | undefined {
    return this.#heldBack;
  }

  /** Looks at the memory. @returns what has changed since the last look, if anything */
  look(): 'held-back' | 'released' | undefined {
    const wasShort = this.#heldBack !== undefined;
    this.#heldBack = this.#shortage();
    const isShort = this.#heldBack !== undefined;
    if (isShort === wasShort) return undefined;
    return isShort ? 'held-back' : 'released';
  }

  /** A host that does not tell how much is left is no obstacle. */
  #shortage(): string | undefined {
    const available = this.#available();
    if (available === undefined || available.bytes >= this.#floor) return undefined;
    const { bytes, limitedBy } = available;
    return `${limitedBy} has ${bytes} bytes of memory left, and ${this.#floor} are to stay free`;
  }
}
