import { writeFile } from 'node:fs/promises';

import { GUEST_DISK_SIZE } from '../../ts/guest/write-guest-disk.ts';

/**
 * A boot sector, loaded at 0x7c00. It maps the first 2 MiB, turns long mode on, sets FS.base, GS.base and KernelGSbase,
 * writes `L` to port 0xe9 (the debug console), sets rax to rsp and r8 to r15 to values that all differ, and stays where
 * it is, with interrupts off:
 *
 *     cli; ds = es = ss = 0; clear 0x1000..0x4000
 *     [0x1000] = 0x2003; [0x2000] = 0x3003; [0x3000] = 0x83
 *     cr4 = PAE|PGE; cr3 = 0x1000; efer |= LME|SCE; lgdt; cr0 |= PG|PE; jump to 8:long
 *     long: ds = es = ss = fs = gs = 0x10
 *     wrmsr C0000100 = ffff8800_11111000, C0000101 = ffff8800_22222000, C0000102 = ffff8800_33333000
 *     out 0xe9, 'L'
 *     rax = 0x8001020304050607; rbx = rax + 1; … r15 = rax + 15
 *     std; stc; jump to itself
 */
const CODE = [
  'fa31c08ed88ec08ed0bf0010b90018f3abc70600100320c70600200330c70600',
  '30830066b8a00000000f22e066b8001000000f22d866b9800000c00f320d0101',
  '0f300f0116f07c0f20c0660d010000800f22c0ea587c0800b8100000008ed88e',
  'c08ed08ee08ee8b9000100c0b800101111ba0088ffff0f30ffc1b8002022220f',
  '30ffc1b8003033330f30b04ce6e948b80706050403020180488d5801488d4802',
  '488d5003488d7004488d7805488d6806488d60074c8d40084c8d48094c8d500a',
  '4c8d580b4c8d600c4c8d680d4c8d700e4c8d780ffdf9ebfe0000000000000000',
  'ffff0000009aaf00ffff00000092cf001700d87c0000',
].join('');

/** A disk that boots a guest in long mode. */
export async function writeLongModeDisk(path: string): Promise<void> {
  const disk = Buffer.alloc(GUEST_DISK_SIZE);
  disk.write(CODE, 'hex');
  disk.writeUInt16BE(0x55aa, 510);
  await writeFile(path, disk);
}
