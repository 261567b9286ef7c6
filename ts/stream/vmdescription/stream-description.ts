import { MappedRamError } from '../../errors.ts';
import { isTargetPageSize } from '../target-page-size.ts';
import { DeviceLengths } from './device-lengths.ts';
import { findVmdescription, type FoundVmdescription } from './find-vmdescription.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { Vmdescription } from './vmdescription.ts';

/** The vmdescription of the stream that is being walked. The walk's first need of it starts the search. */
export class StreamDescription {
  readonly #reader: RandomAccessReader;
  #found: FoundVmdescription | undefined;
  #devices: DeviceLengths | undefined;

  constructor(reader: RandomAccessReader) {
    this.#reader = reader;
  }

  /** The lengths of device sections, out of a vmdescription behind `from`. */
  async devices(from: number, options: { readonly forward: boolean }): Promise<DeviceLengths | undefined> {
    if (this.#devices !== undefined) return this.#devices;
    const found = await this.#find(from, options.forward);
    if (found !== undefined) this.#devices = new DeviceLengths(found.json.devices, found.offset);
    return this.#devices;
  }

  /**
   * Checks that the description behind EOF measured the device sections. A new stream carries that description along
   * with them: if another one measured them, nobody could read them any more.
   * @throws {MappedRamError} ERR_MAPPED_RAM_CORRUPT when lengths were taken from a vmdescription not at `offset`
   */
  assertServedFrom(offset: number): void {
    const found = this.#devices?.end;
    if (found === undefined || found === offset) return;
    const message = 'the vmdescription that fits the sections is not the one behind the end of the stream';
    const context = { path: this.#reader.name, offset, expected: offset, found };
    throw new MappedRamError('ERR_MAPPED_RAM_CORRUPT', message, context);
  }

  /** The page size that the description gives, if it is one (docs/format.md §1.5). */
  async targetPageSize(from: number): Promise<number | undefined> {
    const described = (await this.#find(from, false))?.json.page_size;
    return isTargetPageSize(described) ? described : undefined;
  }

  /** The vmdescription at `offset`, if it is the one that served. */
  at(offset: number): Vmdescription | undefined {
    return this.#found?.offset === offset ? this.#found.json : undefined;
  }

  async #find(from: number, forward: boolean): Promise<FoundVmdescription | undefined> {
    if (this.#found === undefined || this.#found.offset < from) {
      this.#found = await findVmdescription(this.#reader, from, { forward });
    }
    return this.#found;
  }
}
