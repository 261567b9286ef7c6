import { MappedRamError } from '../errors.ts';
import { flattenDevice, type FlatValue } from '../stream/devices/flatten-device.ts';
import type { DeviceState } from '../stream/devices/device-state.ts';
import { NoteWriter } from './note-writer.ts';

const NT_PRSTATUS = 1;
const NT_PRFPREG = 2;
/** struct elf_prstatus of Linux for arm64, and its struct user_fpsimd_state. */
const PRSTATUS = { length: 392, pid: 32, registers: 112 };
const FP_STATE_LENGTH = 528;
const GENERAL_REGISTERS = 32;
const VECTOR_REGISTERS = 32;
/** Of FPSCR, as FPSR and FPCR have them. */
const FPSR_BITS = 0xf800_009f;
const FPCR_BITS = 0x07ff_9f00;
/** Of the old FPSCR's place among the VFP's registers. */
const FPSCR = 'cpu/vfp:fpscr';

/**
 * The notes that QEMU's `dump-guest-memory` writes of an aarch64 guest: for every CPU NT_PRSTATUS and NT_PRFPREG of
 * "CORE". Those of SVE are left out.
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
  // The last is the stack pointer.
  for (let number = 0; number < GENERAL_REGISTERS; number += 1) {
    note.u64(registers.u64(`env.xregs[${number}]`));
  }
  return note.u64(registers.u64('env.pc'), BigInt(registers.u32('cpsr'))).finish('CORE', NT_PRSTATUS);
}

function fpState(registers: Registers): Uint8Array {
  const note = new NoteWriter(FP_STATE_LENGTH);
  for (let number = 0; number < VECTOR_REGISTERS; number += 1) {
    const register = `cpu/vfp:env.vfp.zregs[${number}].d`;
    note.u64(registers.u64(`${register}[0]`), registers.u64(`${register}[1]`));
  }
  const status = registers.u32(FPSCR);
  return note.u32((status & FPSR_BITS) >>> 0, status & FPCR_BITS).finish('CORE', NT_PRFPREG);
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

  #missing(name: string, value: FlatValue | undefined): MappedRamError {
    return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', `register ${name} of the CPU`, {
      path: this.#path,
      expected: 'an integer',
      found: value === undefined ? 'nothing' : typeof value,
    });
  }
}
