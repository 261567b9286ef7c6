import assert from 'node:assert/strict';

import { deviceBodyLength } from '../../ts/stream/vmdescription/body-length.ts';
import { findVmdescription } from '../../ts/stream/vmdescription/find-vmdescription.ts';
import { roughly, type FuzzTarget } from '../target.ts';

/** A vmdescription at the end of a file or, behind it, anything else; and the lengths of sections, as it gives them. */
export const target: FuzzTarget = {
  limits: { bytesAtOnce: 16 * 2 ** 20 },
  run: async (reader) => {
    const found = await findVmdescription(reader, 0, { forward: true });
    if (found === undefined) return 'none';
    const { offset, jsonOffset, jsonLength, json } = found;
    assert.equal(jsonOffset, offset + 5);
    assert.ok(jsonOffset + jsonLength <= reader.size);
    let measured = 0;
    for (const device of json.devices) {
      const length = deviceBodyLength(device);
      if (length === undefined) continue;
      assert.ok(Number.isSafeInteger(length) && length >= 0);
      measured += 1;
    }
    return [roughly(json.devices.length), roughly(measured), jsonOffset + jsonLength === reader.size].join(
      ' ',
    );
  },
};
