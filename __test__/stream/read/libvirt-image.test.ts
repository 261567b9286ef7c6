import test from 'ava';

import { bytesReader } from '../../../ts/stream/index.ts';
import { readLibvirtImage } from '../../../ts/stream/read/libvirt-image.ts';
import { libvirtHeader } from '../../support/libvirt.ts';

function read(head: Uint8Array): ReturnType<typeof readLibvirtImage> {
  return readLibvirtImage(bytesReader(head, 'save.img'));
}

for (const littleEndian of [true, false]) {
  test(`a header is read in the byte order that it has: ${littleEndian ? 'little' : 'big'}-endian`, async (t) => {
    const raw = await read(libvirtHeader({ dataLength: 70_000, wasRunning: true, littleEndian }));
    t.deepEqual(raw, { version: 2, streamOffset: 70_092, wasRunning: true, format: 'raw', cookieOffset: 0 });
    const sparse = await read(libvirtHeader({ dataLength: 1, format: 6, littleEndian }));
    t.deepEqual(sparse, {
      version: 2,
      streamOffset: 93,
      wasRunning: false,
      format: 'sparse',
      cookieOffset: 0,
    });
    // Version 1 has no field for the format.
    const old = await read(libvirtHeader({ dataLength: 5, version: 1, format: 4, littleEndian }));
    t.is(old?.format, 'raw');
  });
}

for (const [format, name] of ['', 'gzip', 'bzip2', 'xz', 'lzop', 'zstd'].entries()) {
  if (name === '') continue;
  test(`an image that is compressed with ${name} is refused, and the refusal says so`, async (t) => {
    const error = await t.throwsAsync(read(libvirtHeader({ dataLength: 9, format })), {
      code: 'ERR_MAPPED_RAM_UNSUPPORTED',
      message: new RegExp(
        `compressed .* with ${name} .*: tail -c \\+102 FILE \\| ${name} -dc \\| mapped-ram convert -`,
      ),
    });
    t.like(error, { path: 'save.img', offset: 28, found: name });
  });
}

test('a format that nobody knows, a version from the future and an unfinished image are refused', async (t) => {
  await t.throwsAsync(read(libvirtHeader({ dataLength: 9, format: 7 })), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED',
    message: /not known \(7\)/,
  });
  await t.throwsAsync(read(libvirtHeader({ dataLength: 9, version: 3 })), {
    code: 'ERR_MAPPED_RAM_UNSUPPORTED_VERSION',
  });
  await t.throwsAsync(read(libvirtHeader({ dataLength: 9, magic: 'LibvirtQemudPart' })), {
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
  });
});

test('any other file is none', async (t) => {
  t.is(await read(libvirtHeader({ dataLength: 9, magic: 'LibvirtQemudSav\0' })), undefined);
  t.is(await read(libvirtHeader({ dataLength: 9 }).subarray(0, 15)), undefined);
  t.is(await read(new Uint8Array()), undefined);
});

test('an image that ends within its header is cut off', async (t) => {
  for (const length of [16, 91]) {
    await t.throwsAsync(read(libvirtHeader({ dataLength: 9 }).subarray(0, length)), {
      code: 'ERR_MAPPED_RAM_TRUNCATED',
      message: new RegExp(`expected 92 bytes, found ${length} bytes`),
    });
  }
});
