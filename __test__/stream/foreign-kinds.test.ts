import { gzipSync } from 'node:zlib';

import test from 'ava';

import { readStreamIndex } from '../../ts/stream/index.ts';
import { StrictReader } from './strict-reader.ts';

const at = (offset: number, ...bytes: readonly number[]): Uint8Array => {
  const file = new Uint8Array(4096).fill(1);
  file.set(bytes, offset);
  return file;
};
const text = (offset: number, words: string): Uint8Array => at(offset, ...Buffer.from(words, 'latin1'));

const FILES: readonly (readonly [file: Uint8Array, words: RegExp])[] = [
  [
    gzipSync('a stream'),
    /but a gzip file \(decompress it first: gzip -dc FILE > OUT; .* gzip -dc FILE \| mapped-ram convert - OUT\)/,
  ],
  [at(0, 0x28, 0xb5, 0x2f, 0xfd), /a zstd file .*zstd -dc/],
  [at(0, 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0), /an xz file .*xz -dc/],
  [text(0, 'BZh91AY&SY'), /a bzip2 file .*bzip2 -dc/],
  [at(0, 0x04, 0x22, 0x4d, 0x18), /an lz4 file .*lz4 -dc/],
  [at(0, 0x89, 0x4c, 0x5a, 0x4f, 0, 0x0d, 0x0a, 0x1a, 0x0a), /an lzop file .*lzop -dc/],
  [at(0, 0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0), /an ELF core \(it is for gdb/],
  [text(0, 'KDUMP   '), /a kdump core/],
  [text(0, 'QFI\xfb'), /a qcow2 image \(it holds a guest's disk/],
  [text(0, 'KDMV'), /a vmdk image/],
  [at(0, 0, 0, 0x64, 0x86, 0x84, 0x19, 0x10, 0x07), /a Firecracker state of x86-64/],
  [text(0, '\x7fVirtualBox SavedState V2.0\n'), /a VirtualBox saved state/],
  [at(510, 0x55, 0xaa), /a disk with a boot sector \(MBR\)/],
  [at(0, 2), /not a QEMU migration stream: expected 0x5145564d, found 0x2010101$/],
];

test('a file of a known kind that is no stream is named, with what helps', async (t) => {
  for (const [file, message] of FILES) {
    await t.throwsAsync(readStreamIndex(new StrictReader(file)), {
      code: 'ERR_MAPPED_RAM_BAD_MAGIC',
      message,
    });
  }
});
