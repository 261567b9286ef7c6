import assert from 'node:assert/strict';

import {
  decodeConfiguration,
  decodeFileHeader,
  encodeConfiguration,
  encodeFileHeader,
} from '../../ts/stream/configuration.ts';
import { bytesReader } from '../../ts/stream/reader.ts';
import { StreamCursor } from '../../ts/stream/read/stream-cursor.ts';
import { roughly, type FuzzTarget } from '../target.ts';

/** Header and CONFIGURATION: the decoded form, when written, reads the same. */
export const target: FuzzTarget = {
  run: async (reader) => {
    const cursor = new StreamCursor(reader, 0);
    await decodeFileHeader(cursor);
    const configuration = await decodeConfiguration(cursor);
    assert.ok(cursor.position <= reader.size);
    const written = bytesReader(
      Uint8Array.from([...encodeFileHeader(), ...encodeConfiguration(configuration)]),
    );
    const again = new StreamCursor(written, 0);
    await decodeFileHeader(again);
    assert.deepEqual(await decodeConfiguration(again), configuration);
    assert.equal(again.remaining, 0);
    const { machine, capabilities, targetPageBits, uuid } = configuration;
    return [roughly(machine.length), capabilities.length, targetPageBits, uuid !== undefined].join(' ');
  },
};
