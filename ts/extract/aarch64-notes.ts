import { MappedRamError } from '../errors.ts';
import { flattenDevice, type FlatValue } from '../stream/devices/flatten-device.ts';
import type { DeviceState } from '../stream/devices/device-state.ts';
import { NoteWriter } from './note-writer.ts';

const NT_PRSTATUS = 1;
const NT_PRFPREG = 2;
/** struct elf_prstatus of Linux for arm64, and its struct user_fpsimd_state. */
const PRSTATUS = { length: 392, pid: 32, registers: 112 };
const FP_VALID = 1;
const FP_STATE_LENGTH = 528;
const GENERAL_REGISTERS = 32;
const VECTOR_REGISTERS = 32;
/** The bits of FPSCR that FPSR and FPCR have. */
const FPSR_BITS = 0xf800_009f;
const FPCR_BITS = 0x07ff_9f00;
const FP_STATUS = 'cpu/vfp:cpu/vfp/fpcr_fpsr:';

/**
 * The notes that QEMU's `dump-guest-memory` writes of an aarch64 guest: for every CPU NT_PRSTATUS and NT_PRFPREG of
 * "CORE". The notes of SVE are left out.
 * @param cpus the sections `cpu`
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when a register is not where it is expected
 */
export function aarch64Notes(cpus: readonly DeviceState[], path: string): Uint8Array {
  const sorted = cpus.toSorted((left, right) => left.instanceId - right.instanceId);
  return Buffer.concat(
    sorted.flatMap((cpu) => {
      const registers = new Registers(cpu, path);
      return [prstatus(registers, cpu.instanceId), fpState(registers)];
    }),
  );
}

function prstatus(registers: Registers, index: number): Uint8Array {
  const { length, pid, registers: start } = PRSTATUS;
  const note = new NoteWriter(length)
    .skip(pid)
    .u32(index + 1)
    .skip(start - pid - 4);
  // The last register is the stack pointer.
  for (let number = 0; number < GENERAL_REGISTERS; number += 1) {
    note.u64(registers.u64(`env.xregs[${number}]`));
  }
  return note
    .u64(registers.u64('env.pc'), BigInt(registers.u32('cpsr')))
    .u32(FP_VALID)
    .finish('CORE', NT_PRSTATUS);
}

function fpState(registers: Registers): Uint8Array {
  const note = new NoteWriter(FP_STATE_LENGTH);
  for (let number = 0; number < VECTOR_REGISTERS; number += 1) {
    const register = `cpu/vfp:env.vfp.zregs[${number}].d`;
    note.u64(registers.u64(`${register}[0]`), registers.u64(`${register}[1]`));
  }
  return note.u32(...floatingPointStatus(registers)).finish('CORE', NT_PRFPREG);
}

/** FPSR and FPCR. QEMU keeps both in AArch32's FPSCR where that has all of their bits, else each by itself. */
function floatingPointStatus(registers: Registers): readonly [fpsr: number, fpcr: number] {
  const [fpsr, fpcr] = [registers.bytes(`${FP_STATUS}fpsr`), registers.bytes(`${FP_STATUS}fpcr`)];
  if (fpsr !== undefined && fpcr !== undefined) return [lowWord(fpsr), lowWord(fpcr)];
  const fpscr = registers.u32('cpu/vfp:fpscr');
  return [(fpscr & FPSR_BITS) >>> 0, fpscr & FPCR_BITS];
}

/** The low word of a big-endian number. */
function lowWord(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(bytes.length - 4);
}

class Registers {
  readonly #values: ReadonlyMap<string, FlatValue>;
  readonly #path: string;

  constructor(cpu: DeviceState, path: string) {
    this.#values = new Map(flattenDevice(cpu));
    this.#path = path;
  }

  u64(name: string): bigint {
    const value = this.#values.get(name);
    if (typeof value === 'bigint') return BigInt.asUintN(64, value);
    throw this.#missing(name, value);
  }

  u32(name: string): number {
    const value = this.#values.get(name);
    if (typeof value === 'number') return value >>> 0;
    throw this.#missing(name, value);
  }

  /** The bytes of a register of at least a word; undefined when there is none. */
  bytes(name: string): Uint8Array | undefined {
    const value = this.#values.get(name);
    return value instanceof Uint8Array && value.length >= 4 ? value : undefined;
  }

  #missing(name: string, value: FlatValue | undefined): MappedRamError {
    return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `register ${name} of the CPU`, {
      path: this.#path,
      expected: 'an integer',
      found: value === undefined ? 'nothing' : typeof value,
    });
  }
}
