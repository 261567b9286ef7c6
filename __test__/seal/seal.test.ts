import { execFile } from 'node:child_process';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import test from 'ava';
import * as fc from 'fast-check';

import { MappedRamError } from '../../ts/errors.ts';
import { decodeSeal } from '../../ts/seal/decode-seal.ts';
import { encodeSeal } from '../../ts/seal/encode-seal.ts';
import { isSeal, readSeal, SealOutput } from '../../ts/seal/seal-file.ts';
import { MAX_SEAL_BYTES, type Seal, type SealedBlock } from '../../ts/seal/seal.ts';
import { digestBytes } from '../../ts/engine/digest.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const PAGE = 4096;
const PIECE = 65_536;
const MIB = 2 ** 20;

/** Blocks side by side, each with its bitmap in front of its pages. */
function sealOf(shapes: readonly { readonly pages: number; readonly pieces: readonly number[] }[]): Seal {
  const base = 512;
  let position = base;
  const blocks = shapes.map(({ pages, pieces }, index): SealedBlock => {
    const length = pages * PAGE;
    const bitmapOffset = position;
    const pagesOffset = Math.ceil((bitmapOffset + Math.ceil(pages / 64) * 8) / MIB) * MIB;
    position = pagesOffset + length;
    const offsets = [
      ...new Set(pieces.map((piece) => (piece * PIECE) % (Math.ceil(length / PIECE) * PIECE))),
    ];
    offsets.sort((left, right) => left - right);
    const digests = Buffer.concat(offsets.map((offset) => Buffer.alloc(32, offset / PIECE)));
    return {
      id: `block${index}`,
      area: { pagesOffset, bitmapOffset, length, pageSize: PAGE },
      offsets,
      digests: Uint8Array.from(digests),
    };
  });
  const metadata = Uint8Array.from({ length: 32 }, (_, index) => index);
  return { pageSize: PAGE, pieceSize: PIECE, base, size: position + 777, metadata, blocks };
}

const seals = fc
  .array(fc.record({ pages: fc.integer({ min: 1, max: 500 }), pieces: fc.array(fc.nat(40)) }), {
    maxLength: 4,
  })
  .map(sealOf);

function hexDigest(text: string): string {
  return Buffer.from(digestBytes(Buffer.from(text))).toString('hex');
}

test('digests are BLAKE3', (t) => {
  // The first digest is in the test vectors of BLAKE3's authors, the second in their README.
  t.is(hexDigest(''), 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262');
  t.is(hexDigest('hello world'), 'd74981efa70a0c880b8d8c1985d075dbcbf679b99a5f9914e5aaf96b831a9e24');
});

test('a seal that is written is the seal that is read', (t) => {
  fc.assert(
    fc.property(seals, (seal) => {
      t.deepEqual(decodeSeal(encodeSeal(seal), 'seal'), seal);
    }),
  );
});

test('whatever the bytes, decoding gives a seal or says what is wrong', (t) => {
  const edit = fc.record({ at: fc.nat(), value: fc.constantFrom(0, 1, 0x10, 0x7f, 0x80, 0xff) });
  fc.assert(
    fc.property(seals, fc.array(edit, { minLength: 1, maxLength: 4 }), fc.nat(), (seal, edits, cut) => {
      const whole = encodeSeal(seal);
      const bytes = whole.subarray(0, cut % 3 === 0 ? cut % whole.length : whole.length);
      for (const { at, value } of edits) if (bytes.length > 0) bytes[at % bytes.length] = value;
      try {
        const { size, blocks, pieceSize } = decodeSeal(bytes, 'seal');
        for (const { area, offsets } of blocks) {
          const { pagesOffset, length } = area;
          t.true(pagesOffset + length <= size);
          t.true(offsets.every((offset) => offset % pieceSize === 0 && offset < length));
        }
      } catch (error) {
        if (!(error instanceof MappedRamError)) throw error;
        t.is(error.path, 'seal');
      }
    }),
    { numRuns: 500 },
  );
});

test('a seal that says it has more than its file is refused before anything is allocated', (t) => {
  const bytes = encodeSeal(sealOf([{ pages: 16, pieces: [0] }]));
  const view = new DataView(bytes.buffer);
  const pieces = bytes.length - 40 - 8;
  t.is(view.getBigUint64(pieces), 1n);
  for (const count of [2n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 64n - 1n]) {
    view.setBigUint64(pieces, count);
    t.throws(() => decodeSeal(bytes, 'seal'), { instanceOf: MappedRamError });
  }
  view.setBigUint64(pieces, 1n);
  view.setUint32(20, 0xffff_ffff);
  t.throws(() => decodeSeal(bytes, 'seal'), { code: 'ERR_MAPPED_RAM_TRUNCATED' });
});

async function writeSeal(path: string, seal: Seal): Promise<void> {
  await using output = await SealOutput.create(path, false);
  await output.write(seal);
  await output.publish();
}

test('a seal of which any bit is wrong, or that is cut off anywhere, is not read', async (t) => {
  await using dir = await temporaryDirectory();
  const path = dir.file('seal');
  await writeSeal(path, sealOf([{ pages: 40, pieces: [0, 1, 2] }]));
  const whole = await readFile(path);
  t.is((await readSeal(path))?.blocks.length, 1);
  for (let index = 0; index < whole.length; index += 1) {
    const damaged = Buffer.from(whole);
    damaged[index] = (damaged[index] ?? 0) ^ (1 << (index % 8));
    await writeFile(path, damaged);
    await t.throwsAsync(readSeal(path), { instanceOf: MappedRamError }, `byte ${index}`);
    await writeFile(path, whole.subarray(0, index));
    await t.throwsAsync(readSeal(path), { instanceOf: MappedRamError }, `${index} bytes`);
  }
  await writeFile(path, Buffer.concat([whole, Buffer.alloc(1)]));
  await t.throwsAsync(readSeal(path), { instanceOf: MappedRamError });
});

test('what is no regular file, or too large, is never read as a seal', async (t) => {
  await using dir = await temporaryDirectory();
  t.is(await readSeal(dir.file('missing')), undefined);
  t.false(await isSeal(dir.file('missing')));
  await promisify(execFile)('mkfifo', [dir.file('fifo')]);
  await t.throwsAsync(readSeal(dir.file('fifo')), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  t.false(await isSeal(dir.file('fifo')));
  await t.throwsAsync(readSeal(dir.path), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
  await writeFile(dir.file('large'), 'MRAMSEAL');
  await truncate(dir.file('large'), MAX_SEAL_BYTES + 1);
  await t.throwsAsync(readSeal(dir.file('large')), { code: 'ERR_MAPPED_RAM_CORRUPT' });
});
