import { MappedRamError } from '../../errors.ts';
import { FOOTER_BYTES } from '../constants.ts';
import { isTargetPageSize } from '../target-page-size.ts';
import { deviceBodyLength } from './body-length.ts';
import { DeviceLengths } from './device-lengths.ts';
import { findNextVmdescription, findVmdescription, type FoundVmdescription } from './find-vmdescription.ts';
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

  /**
   * The lengths of device sections, out of a vmdescription behind `from`.
   * @param section offset of the section that asks first
   * @param options.forward true when no guest memory follows: then the last vmdescription of the source counts only if
   *   it measures everything from `section` up to itself. A volume may have an older stream behind this one.
   */
  async devices(
    from: number,
    section: number,
    options: { readonly forward: boolean },
  ): Promise<DeviceLengths | undefined> {
    if (this.#devices !== undefined) return this.#devices;
    let found = await this.#find(from, options.forward);
    if (options.forward && found !== undefined && !reachesFrom(section, found)) {
      found = this.#found = (await findNextVmdescription(this.#reader, from)) ?? found;
    }
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

const encoder = new TextEncoder();
/** Bytes of a FULL section beside its name and its body: type, id, length of the name, instance, version, footer. */
const SECTION_OVERHEAD = 1 + 4 + 1 + 4 + 4 + FOOTER_BYTES;

/** True when the sections that a vmdescription describes, one behind the other from an offset on, end right before it. */
function reachesFrom(section: number, { json, offset }: FoundVmdescription): boolean {
  let end = section;
  for (const device of json.devices) {
    const length = deviceBodyLength(device);
    if (length === undefined) return false;
    end += SECTION_OVERHEAD + encoder.encode(device.name).length + length;
  }
  // EOF is one byte.
  return end + 1 === offset;
}
