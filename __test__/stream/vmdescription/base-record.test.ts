import test from 'ava';

import {
  baseRecordIn,
  withBaseRecord,
  withoutBaseRecord,
} from '../../../ts/stream/vmdescription/base-record.ts';
import { parseVmdescription } from '../../../ts/stream/vmdescription/vmdescription.ts';

const RECORD = {
  name: '../a "b".mr',
  path: '/tmp/ä/b.mr',
  offset: 0,
  end: 4096,
  metadata: 'ab'.repeat(32),
  seal: 'cd'.repeat(32),
  uuid: 'ef'.repeat(16),
};
const TEXTS = [
  '{"page_size": 4096, "devices": []}',
  '{ "devices":[ {"name": "mapped-ram-base", "instance_id": 0} ],"mapped-ram-bases": {"a": 1} }',
];

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

test('a record goes into a vmdescription and out again, and every other byte stays', (t) => {
  for (const text of TEXTS) {
    const json = withBaseRecord(bytesOf(text), RECORD);
    t.deepEqual(baseRecordIn(parseVmdescription(json), 'x'), RECORD);
    t.is(textOf(withoutBaseRecord(json)), text);
    t.is(textOf(withoutBaseRecord(bytesOf(text))), text);
    // A second record takes the place of the first.
    const other = withBaseRecord(json, { ...RECORD, end: 5 });
    t.is(baseRecordIn(parseVmdescription(other), 'x')?.end, 5);
    t.is(textOf(withoutBaseRecord(other)), text);
  }
  t.is(textOf(withoutBaseRecord(bytesOf('{"a": 1, "mapped-ram-base": {"x": [2]}}'))), '{"a": 1}');
  t.is(textOf(withoutBaseRecord(bytesOf('{"mapped-ram-base": 5}'))), '{}');
  t.is(textOf(withoutBaseRecord(bytesOf('no json'))), 'no json');
});

test('a base without a path, a seal or a UUID has a record, too', (t) => {
  const { offset, end, metadata } = RECORD;
  const json = withBaseRecord(bytesOf(TEXTS[0] ?? ''), { offset, end, metadata });
  const found = baseRecordIn(parseVmdescription(json), 'x');
  t.like(found, { offset, end, metadata, name: undefined, path: undefined, seal: undefined });
  t.is(baseRecordIn(parseVmdescription(bytesOf(TEXTS[0] ?? '')), 'x'), undefined);
});

test('a record that lacks a member, or has one of another kind, is damaged', (t) => {
  const wrong = [
    5,
    { ...RECORD, metadata: undefined },
    { ...RECORD, metadata: 'xyz' },
    { ...RECORD, end: -1 },
    { ...RECORD, end: 1.5 },
    { ...RECORD, offset: '0' },
    { ...RECORD, name: '' },
    { ...RECORD, path: 'a\0b' },
    { ...RECORD, seal: 5 },
  ];
  for (const record of wrong) {
    const json = bytesOf(JSON.stringify({ devices: [], 'mapped-ram-base': record }));
    t.throws(() => baseRecordIn(parseVmdescription(json), 'x'), { code: 'ERR_MAPPED_RAM_CORRUPT' });
  }
});
