import assert from 'node:assert/strict';

import { LIBVIRT_HEADER_BYTES, readLibvirtImage } from '../../ts/stream/read/libvirt-image.ts';
import type { FuzzTarget } from '../target.ts';

/** The header of a libvirt save image, or of anything else. */
export const target: FuzzTarget = {
  dictionary: ['LibvirtQemudSave', 'LibvirtQemudPart'],
  run: async (reader) => {
    const image = await readLibvirtImage(reader);
    if (image === undefined) return 'none';
    const { version, streamOffset, wasRunning, format } = image;
    assert.ok(version === 1 || version === 2);
    assert.ok(Number.isSafeInteger(streamOffset) && streamOffset >= LIBVIRT_HEADER_BYTES);
    return [version, wasRunning, format].join(' ');
  },
};
