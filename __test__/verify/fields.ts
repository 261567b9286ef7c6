import type { StreamRecord } from '../../ts/stream/index.ts';

/** Bytes of a stream that mean something together. */
export interface Field {
  readonly title: string;
  readonly offset: number;
  readonly length: number;
  /** True when any other value would do as well: only a seal can tell. */
  readonly hidden: boolean;
}

/** Every field of every record (docs/format.md §1, §2). The offsets are this file's own account. */
export function fieldsOf({ records }: { readonly records: readonly StreamRecord[] }): readonly Field[] {
  return records.flatMap((record) => [...recordFields(record)].filter(({ length }) => length > 0));
}

const encoder = new TextEncoder();

function* recordFields(record: StreamRecord): Generator<Field, void, void> {
  const { offset, length } = record;
  const at = (title: string, start: number, size: number, hidden = false): Field => ({
    title,
    offset: offset + start,
    length: size,
    hidden,
  });
  switch (record.type) {
    case 'header':
      yield at('magic', 0, 4);
      yield at('version of the stream', 4, 4);
      break;
    case 'configuration': {
      const name = encoder.encode(record.configuration.machine).length;
      yield at('type of CONFIGURATION', 0, 1);
      yield at('length of the machine', 1, 4);
      yield at('machine', 5, name, true);
      yield at('subsections of CONFIGURATION', 5 + name, length - 5 - name);
      break;
    }
    case 'command':
      yield at(`head of command ${record.name}`, 0, 5);
      break;
    case 'section':
      yield* sectionFields(record, at);
      break;
    case 'ram-list':
      yield at('sum of the blocks', 0, 8);
      break;
    case 'ram-block': {
      const id = encoder.encode(record.id).length;
      const header = length - 28;
      yield at(`length of the id of ${record.id}`, 0, 1);
      yield at(`id of ${record.id}`, 1, id, true);
      yield at(`length of ${record.id}`, 1 + id, 8);
      yield at(`header version of ${record.id}`, header, 4);
      yield at(`page_size of ${record.id}`, header + 4, 8);
      yield at(`bitmap_offset of ${record.id}`, header + 12, 8);
      yield at(`pages_offset of ${record.id}`, header + 20, 8);
      break;
    }
    case 'eof':
      yield at('EOF', 0, 1);
      break;
    case 'vmdescription':
      yield at('type of the vmdescription', 0, 1);
      yield at('length of the vmdescription', 1, 4);
      yield at('first byte of the vmdescription', 5, 1);
      yield at('vmdescription', 6, length - 7, true);
      yield at('last byte of the vmdescription', length - 1, 1);
      break;
    case 'ram-page':
    case 'trailing':
    case 'opaque':
      throw new Error(`no record of a complete mapped-ram file: ${record.type}`);
    default:
      record satisfies never;
  }
}

function* sectionFields(
  section: Extract<StreamRecord, { type: 'section' }>,
  at: (title: string, start: number, size: number, hidden?: boolean) => Field,
): Generator<Field, void, void> {
  const { kind, idstr, offset, bodyOffset, bodyLength, footerOffset } = section;
  const title = `of ${kind} ${idstr}`;
  yield at(`type ${title}`, 0, 1);
  yield at(`section id ${title}`, 1, 4);
  if (kind === 'start' || kind === 'full') {
    const name = encoder.encode(idstr).length;
    yield at(`length of the name ${title}`, 5, 1);
    yield at(`name ${title}`, 6, name);
    yield at(`instance ${title}`, 6 + name, 4);
    yield at(`version ${title}`, 10 + name, 4);
  }
  // The body of RAM START is the block list, whose records come before.
  if (kind === 'full') yield at(`body ${title}`, bodyOffset - offset, bodyLength, true);
  else if (kind === 'start') yield at(`EOS ${title}`, footerOffset - offset - 8, 8);
  else yield at(`body ${title}`, bodyOffset - offset, bodyLength);
  yield at(`footer ${title}`, footerOffset - offset, 5);
}
