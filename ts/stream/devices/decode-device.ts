import { MappedRamError } from '../../errors.ts';
import { count } from '../vmdescription/body-length.ts';
import { RECORD } from '../constants.ts';
import { isRecord } from '../vmdescription/vmdescription.ts';
import type { DeviceField, DeviceStruct, DeviceValue } from './device-state.ts';
import { FieldList } from './field-list.ts';
import { readScalar } from './scalars.ts';

/** The deepest nesting that is decoded; QEMU nests five or six deep. */
const MAX_DEPTH = 32;

const encoder = new TextEncoder();

/** The values that may still be decoded: a description can ask for any number of values of no or few bytes. */
export interface DecodeBudget {
  values: number;
}

/** The body of a section and where it lies. */
interface DeviceBody {
  /** The file's path, for errors. */
  readonly path: string;
  /** The body's absolute offset in the file. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface DecodedBody extends DeviceStruct {
  /**
   * The end of the body, from the first byte on that the description does not fit. Undefined when all of it is decoded.
   */
  readonly rest: Uint8Array | undefined;
  /** The first thing that did not fit. */
  readonly problem: MappedRamError | undefined;
}

/**
 * Decodes a device's body by its entry in the vmdescription (docs/format.md §1.6). No content of a file makes it throw:
 * a field that does not fit is given as bytes, and `rest` has the bytes that nothing can be made of.
 */
export function decodeDevice(body: DeviceBody, description: unknown, budget: DecodeBudget): DecodedBody {
  return new BodyDecoder(body, budget).device(description);
}

class BodyDecoder {
  readonly #path: string;
  readonly #base: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #budget: DecodeBudget;
  #position = 0;
  #problem: MappedRamError | undefined;

  constructor({ path, offset, bytes }: DeviceBody, budget: DecodeBudget) {
    this.#path = path;
    this.#base = offset;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#budget = budget;
  }

  device(description: unknown): DecodedBody {
    const fields = new FieldList();
    const subsections: DeviceStruct[] = [];
    const end = this.#bytes.length;
    let done = 0;
    try {
      for (const entry of listOf(description, 'fields')) {
        this.#addField(fields, entry, end, 0);
        done = this.#position;
      }
      for (const entry of listOf(description, 'subsections')) {
        subsections.push(this.#subsection(entry, end, 1));
        done = this.#position;
      }
      if (done < end) throw this.#misfit('the description ends before the section', 'nothing', end - done);
    } catch (error) {
      if (!(error instanceof MappedRamError)) throw error;
      this.#problem ??= error;
    }
    const rest = done < end ? this.#bytes.subarray(done) : undefined;
    const identity = identityOf(description);
    return { ...identity, fields: fields.finish(), subsections, rest, problem: this.#problem };
  }

  /** Decodes a struct that fills everything from here to `end`. */
  #struct(description: unknown, end: number, depth: number): DeviceStruct {
    if (depth > MAX_DEPTH) throw this.#misfit('structs are nested too deep', `at most ${MAX_DEPTH}`, depth);
    const fields = new FieldList();
    for (const entry of listOf(description, 'fields')) this.#addField(fields, entry, end, depth);
    const subsections = listOf(description, 'subsections').map((entry) =>
      this.#subsection(entry, end, depth + 1),
    );
    return { ...identityOf(description), fields: fields.finish(), subsections };
  }

  #subsection(description: unknown, end: number, depth: number): DeviceStruct {
    const { vmsdName, version } = identityOf(description);
    const name = encoder.encode(vmsdName);
    const header = 6 + name.length;
    if (header > end - this.#position || !this.#isSubsection(name, version)) {
      throw this.#misfit(`subsection ${vmsdName} of version ${version} is not there`);
    }
    this.#position += header;
    return this.#struct(description, end, depth);
  }

  #isSubsection(name: Uint8Array, version: number): boolean {
    const at = this.#position;
    return (
      this.#view.getUint8(at) === RECORD.subsection &&
      this.#view.getUint8(at + 1) === name.length &&
      name.every((byte, index) => this.#bytes[at + 2 + index] === byte) &&
      this.#view.getUint32(at + 2 + name.length) === version
    );
  }

  #addField(fields: FieldList, entry: unknown, end: number, depth: number): void {
    const start = this.#position;
    const { name, type, size, times, index } = this.#entry(entry);
    const total = size * (times ?? 1);
    if (total > end - start) {
      throw this.#misfit(`field ${name} is longer than what is left`, `at most ${end - start}`, total);
    }
    const value = this.#fieldValue({ entry, type, size, times, total }, depth);
    this.#position = start + total;
    const field: DeviceField = { name, type, offset: this.#base + start, size: total, value };
    fields.add({ field, index, several: times !== undefined });
  }

  #entry(entry: unknown): {
    readonly name: string;
    readonly type: string;
    readonly size: number;
    readonly times: number | undefined;
    readonly index: number | undefined;
  } {
    const { name, type, size, array_len: times, index } = isRecord(entry) ? entry : {};
    const bytes = count(size);
    if (typeof name !== 'string' || typeof type !== 'string' || bytes === undefined) {
      throw this.#misfit('a field without name, type or size');
    }
    if (times !== undefined && count(times) === undefined) throw this.#misfit(`array_len of field ${name}`);
    return { name, type, size: bytes, times: count(times), index: count(index) };
  }

  #fieldValue(field: FieldDescription, depth: number): DeviceValue {
    const start = this.#position;
    const { type, size, times, total } = field;
    const bytes = (): Uint8Array => this.#bytes.subarray(start, start + total);
    this.#spend(1);
    if (times === undefined) return this.#fitting(() => this.#element(field, start, depth), bytes);
    if (type === 'uint8' && size === 1) return bytes();
    // Elements of no bytes take none, however many they are.
    if (total === 0) return [];
    this.#spend(times);
    return this.#fitting(
      () => Array.from({ length: times }, (_, index) => this.#element(field, start + index * size, depth)),
      bytes,
    );
  }

  /** Keeps a field whose inside does not fit as bytes: its size is known. */
  #fitting(decode: () => DeviceValue, bytes: () => DeviceValue): DeviceValue {
    try {
      return decode();
    } catch (error) {
      if (!(error instanceof MappedRamError) || error.code !== 'ERR_MAPPED_RAM_CORRUPT') throw error;
      this.#problem ??= error;
      return bytes();
    }
  }

  #element({ entry, type, size }: FieldDescription, start: number, depth: number): DeviceValue {
    const struct = structOf(entry);
    if (struct === undefined) {
      const value = readScalar(type, size, this.#view, start);
      return value === undefined ? this.#bytes.subarray(start, start + size) : value;
    }
    this.#position = start;
    const end = start + size;
    const value = this.#struct(struct, end, depth + 1);
    if (this.#position === end) return value;
    throw this.#misfit(`struct ${value.vmsdName} ends early`, `${size} bytes`, this.#position - start);
  }

  #spend(values: number): void {
    this.#budget.values -= values;
    if (this.#budget.values >= 0) return;
    throw new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', 'too many values in the device state', {
      path: this.#path,
      offset: this.#base + this.#position,
    });
  }

  #misfit(message: string, expected?: string, found?: number): MappedRamError {
    return new MappedRamError('ERR_MAPPED_RAM_CORRUPT', `the vmdescription does not fit: ${message}`, {
      path: this.#path,
      offset: this.#base + this.#position,
      expected,
      found,
    });
  }
}

interface FieldDescription {
  readonly entry: unknown;
  readonly type: string;
  readonly size: number;
  readonly times: number | undefined;
  readonly total: number;
}

/** The description of an entry's struct. An entry of the type `tmp` has its description in itself. */
function structOf(entry: unknown): unknown {
  if (!isRecord(entry)) return undefined;
  return entry['struct'] ?? (entry['fields'] === undefined ? undefined : entry);
}

function identityOf(description: unknown): { readonly vmsdName: string; readonly version: number } {
  const { vmsd_name: name, version } = isRecord(description) ? description : {};
  return { vmsdName: typeof name === 'string' ? name : '', version: count(version) ?? 0 };
}

function listOf(description: unknown, key: 'fields' | 'subsections'): readonly unknown[] {
  const list = isRecord(description) ? description[key] : undefined;
  return Array.isArray(list) ? list : [];
}
