import type { Qtest } from './qtest.ts';

/** Keys and control bits of QEMU's fw_cfg device (its interface for firmware and drivers). */
const FILE_DIRECTORY = 0x19;
const READ = 0x02;
const SELECT = 0x08;
const WRITE = 0x10;
const ENTRY_BYTES = 64;
/** The most files that QEMU's directory holds by default. */
const MOST_FILES = 0x20;

/** The place of fw_cfg's DMA register, and memory that the guest can spare. */
export interface FwCfgPlace {
  readonly scratch: number;
  /** Tells the device the address of a command, in big-endian bytes. */
  readonly start: (qtest: Qtest, address: Buffer) => Promise<void>;
}

export const PC_FW_CFG: FwCfgPlace = {
  scratch: 0x10_0000,
  start: async (qtest, address) => {
    // The ports take big-endian words; qtest sends little-endian ones.
    await qtest.run(`outl 0x514 0x${address.readUInt32LE(0).toString(16)}`);
    await qtest.run(`outl 0x518 0x${address.readUInt32LE(4).toString(16)}`);
  },
};

export const VIRT_FW_CFG: FwCfgPlace = {
  scratch: 0x4010_0000,
  start: (qtest, address) => qtest.write(0x0902_0010, address),
};

/** Writes a file of fw_cfg as a driver in the guest does. */
export async function writeFwCfg(
  qtest: Qtest,
  place: FwCfgPlace,
  file: string,
  content: Uint8Array,
): Promise<void> {
  const data = place.scratch + 0x1000;
  await transfer(qtest, place, (FILE_DIRECTORY << 16) | SELECT | READ, 4 + MOST_FILES * ENTRY_BYTES, data);
  const directory = await qtest.read(data, 4 + MOST_FILES * ENTRY_BYTES);
  for (let index = 0; index < directory.readUInt32BE(0); index += 1) {
    const entry = directory.subarray(4 + index * ENTRY_BYTES, 4 + (index + 1) * ENTRY_BYTES);
    const name = entry.toString('latin1', 8).split('\0')[0];
    if (name !== file) continue;
    await qtest.write(data, content);
    await transfer(qtest, place, (entry.readUInt16BE(4) << 16) | SELECT | WRITE, content.length, data);
    return;
  }
  throw new Error(`fw_cfg has no file ${file}`);
}

async function transfer(
  qtest: Qtest,
  { scratch, start }: FwCfgPlace,
  control: number,
  length: number,
  address: number,
): Promise<void> {
  const command = Buffer.alloc(16);
  command.writeUInt32BE(control >>> 0, 0);
  command.writeUInt32BE(length, 4);
  command.writeBigUInt64BE(BigInt(address), 8);
  await qtest.write(scratch, command);
  const place = Buffer.alloc(8);
  place.writeBigUInt64BE(BigInt(scratch));
  await start(qtest, place);
  const left = (await qtest.read(scratch, 4)).readUInt32BE(0);
  if (left !== 0) throw new Error(`fw_cfg: control is ${left} after a command`);
}
