import type { StreamRecord } from '../../ts/stream/index.ts';

/** A number in a stream, big-endian. */
export interface Field {
  readonly offset: number;
  /** Size in bytes: 1, 2, 4 or 8. */
  readonly size: number;
}

const encoder = new TextEncoder();

/** The numbers of a record, by the layout in docs/format.md and not by the code that reads it. */
export function fieldsOf(record: StreamRecord): readonly Field[] {
  const { offset } = record;
  switch (record.type) {
    case 'header':
      return fields(offset, 4, 4);
    case 'configuration':
    case 'vmdescription':
      return fields(offset, 1, 4);
    case 'command':
      return fields(offset, 1, 2, 2);
    case 'eof':
      return fields(offset, 1);
    case 'ram-list':
      return fields(offset, 8);
    case 'section': {
      const { kind, idstr, footerOffset } = record;
      const footer = fields(footerOffset, 1, 4);
      if (kind === 'part' || kind === 'end') return [...fields(offset, 1, 4), ...footer];
      return [...fields(offset, 1, 4, 1), ...fields(offset + 6 + lengthOf(idstr), 4, 4), ...footer];
    }
    case 'ram-block': {
      const { id, address, mapped } = record;
      const used = offset + 1 + lengthOf(id);
      const header = mapped === undefined ? [] : fields(mapped.headerOffset, 4, 8, 8, 8);
      return [...fields(offset, 1), ...fields(used, ...(address === undefined ? [8] : [8, 8])), ...header];
    }
    case 'ram-page': {
      const { kind, dataOffset } = record;
      return [...fields(offset, 8), ...(kind === 'xbzrle' ? fields(dataOffset - 3, 1, 2) : [])];
    }
    case 'trailing':
    case 'opaque':
      return [];
    default:
      return record satisfies never;
  }
}

/** Fields that follow each other from `offset` on, with sizes in bytes. */
function fields(offset: number, ...sizes: readonly number[]): readonly Field[] {
  let end = offset;
  return sizes.map((size) => {
    end += size;
    return { offset: end - size, size };
  });
}

function lengthOf(name: string): number {
  return encoder.encode(name).length;
}

export function getField(bytes: Uint8Array, { offset, size }: Field): bigint {
  return BigInt(`0x${Buffer.from(bytes.subarray(offset, offset + size)).toString('hex')}`);
}

/** Writes a value into a field; of one that is too large, the low bits. */
export function setField(bytes: Uint8Array, { offset, size }: Field, value: bigint): void {
  const digits = BigInt.asUintN(size * 8, value).toString(16);
  bytes.set(Buffer.from(digits.padStart(size * 2, '0'), 'hex'), offset);
}
