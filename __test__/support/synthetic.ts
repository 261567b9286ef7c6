import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

import { RAM_SECTION_ID } from '../../ts/stream/constants.ts';
import type { RamBlock } from '../../ts/stream/index.ts';
import {
  encodeEof,
  encodeFooter,
  encodeSectionContinuation,
  encodeSectionHeader,
  encodeVmdescription,
} from '../../ts/stream/section.ts';
import { encodePageHeader, encodeZeroPage } from '../../ts/stream/write/encode-pages.ts';
import { encodePlainRamStart, encodeRamEos } from '../../ts/stream/write/encode-ram.ts';

export const PAGE = 4096;

/** A page whose every byte depends on its number; never zero. */
export function testPage(number: number): Uint8Array {
  const seed = createHash('sha256').update(String(number)).digest();
  return Buffer.alloc(PAGE, seed);
}

/** Writes a RAM file of `pages` pages. Pages that `isData` refuses stay holes. */
export async function writeRam(
  path: string,
  pages: number,
  isData: (page: number) => boolean,
): Promise<void> {
  const handle = await open(path, 'w');
  try {
    await handle.truncate(pages * PAGE);
    for (let page = 0; page < pages; page += 1) {
      if (isData(page)) await handle.write(testPage(page), 0, PAGE, page * PAGE);
    }
  } finally {
    await handle.close();
  }
}

export interface SyntheticState {
  /** True for a state with x-ignore-shared, as QEMU writes it when RAM is shared. @default true */
  readonly ignoreShared?: boolean;
  readonly blocks: readonly RamBlock[];
  /** Pages that the state carries itself. */
  readonly pages?: readonly {
    readonly block: string;
    readonly offset: number;
    readonly bytes: Uint8Array | 'zero';
  }[];
  readonly machine?: string;
}

/** A plain device-state stream like QEMU's, with one device. */
export function syntheticState(state: SyntheticState): Buffer {
  const { ignoreShared = true, blocks, pages = [], machine = 'pc-q35-10.0' } = state;
  const device = { sectionId: 7, idstr: 'test-device', instanceId: 0, versionId: 1 };
  const description = {
    page_size: PAGE,
    devices: [
      {
        name: 'test-device',
        instance_id: 0,
        vmsd_name: 'test-device',
        version: 1,
        fields: [{ name: 'value', type: 'uint64', size: 8 }],
      },
    ],
  };
  return Buffer.concat([
    encodePlainRamStart({
      configuration: { machine, capabilities: ignoreShared ? ['x-ignore-shared'] : [] },
      blocks,
    }),
    encodeSectionContinuation('end', RAM_SECTION_ID),
    ...pages.flatMap(({ block, offset, bytes }) =>
      bytes === 'zero' ? [encodeZeroPage(block, offset)] : [encodePageHeader(block, offset), bytes],
    ),
    encodeRamEos(),
    encodeSectionHeader('full', device),
    Buffer.from('0123456789abcdef', 'hex'),
    encodeFooter(7),
    encodeEof(),
    encodeVmdescription(Buffer.from(JSON.stringify(description))),
  ]);
}
