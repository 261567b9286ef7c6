import { MappedRamError } from '../../errors.ts';
import type { RandomAccessReader } from '../reader.ts';
import type { StreamIndex } from '../stream-index.ts';
import type { DeviceField, DeviceState, DeviceStates, DeviceStruct, DeviceValue } from './device-state.ts';
import { readDevices } from './read-devices.ts';
import type { X86Cpu, X86Segment } from './x86-cpu.ts';

/** The name of the section with a CPU's registers; architectures share it. */
const CPU = 'cpu';
/** The name of the section with the state that CPUs of all architectures have. */
const CPU_COMMON = 'cpu_common';

const NO_SEGMENT: X86Segment = { selector: 0, base: 0n, limit: 0, flags: 0 };

/**
 * Reads the registers of an x86 guest's CPUs.
 * @throws {MappedRamError} as `decodeX86Cpus`; and the reader's errors
 */
export async function readX86Cpus(
  reader: RandomAccessReader,
  index: StreamIndex,
): Promise<readonly X86Cpu[]> {
  return decodeX86Cpus(await readDevices(reader, index, ({ name }) => name === CPU || name === CPU_COMMON));
}

/**
 * Takes the registers of a guest's CPUs out of its decoded device state, in the order of their numbers (docs/format.md
 * §1.7).
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED when the CPUs are not x86 CPUs, or a register is not where it is
 *   expected; ERR_MAPPED_RAM_INCOMPLETE when no CPU can be decoded
 */
export function decodeX86Cpus({ devices, problems }: DeviceStates): readonly X86Cpu[] {
  const all = devices.filter(({ name }) => name === CPU);
  const cpus = all.filter((cpu) => !isOneBuffer(cpu));
  if (cpus.length === 0) {
    const cause = problems.at(-1);
    const why = cause === undefined ? '' : ` (${cause.message})`;
    const bare = ' (it has the state of CPUs without their fields: QEMU describes these only in a migration)';
    const words = `the stream describes no CPU${all.length > 0 ? bare : why}`;
    throw new MappedRamError('ERR_MAPPED_RAM_INCOMPLETE', words, { cause, tellsCause: true });
  }
  return cpus
    .map((cpu) =>
      decodeX86Cpu(
        cpu,
        devices.find(({ name, instanceId }) => name === CPU_COMMON && instanceId === cpu.instanceId),
      ),
    )
    .toSorted((left, right) => left.index - right.index);
}

/** True for state that nobody has described: it was taken alone, outside of a migration (docs/format.md §4.4). */
function isOneBuffer({ fields: [first, ...others] }: DeviceState): boolean {
  return first?.name === 'data' && first.type === 'buffer' && others.length === 0;
}

function decodeX86Cpu(device: DeviceState, common: DeviceState | undefined): X86Cpu {
  const cpu = new CpuFields(device);
  const [rax = 0n, rcx = 0n, rdx = 0n, rbx = 0n, rsp = 0n, rbp = 0n, rsi = 0n, rdi = 0n, ...high] =
    cpu.integers('env.regs', 8);
  const [r8 = 0n, r9 = 0n, r10 = 0n, r11 = 0n, r12 = 0n, r13 = 0n, r14 = 0n, r15 = 0n] = high;
  const general = { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15 };
  const segments = cpu.list('env.segs', 6).map((value) => cpu.segment(value, 'env.segs'));
  const [es = NO_SEGMENT, cs = NO_SEGMENT, ss = NO_SEGMENT] = segments;
  const [ds = NO_SEGMENT, fs = NO_SEGMENT, gs = NO_SEGMENT] = segments.slice(3);
  const named = { es, cs, ss, ds, fs, gs };
  const halted = common?.fields.find(({ name }) => name === 'halted')?.value;
  return {
    index: device.instanceId,
    halted: halted !== undefined && halted !== 0,
    ...general,
    rip: cpu.required('env.eip'),
    rflags: cpu.required('env.eflags'),
    ...named,
    ldt: cpu.table('env.ldt'),
    tr: cpu.table('env.tr'),
    gdt: cpu.table('env.gdt'),
    idt: cpu.table('env.idt'),
    cr0: cpu.required('env.cr[0]'),
    cr2: cpu.required('env.cr[2]'),
    cr3: cpu.required('env.cr[3]'),
    cr4: cpu.required('env.cr[4]'),
    dr: cpu.integers('env.dr', 8),
    efer: cpu.optional('env.efer'),
    star: cpu.optional('env.star'),
    lstar: cpu.optional('env.lstar'),
    cstar: cpu.optional('env.cstar'),
    fmask: cpu.optional('env.fmask'),
    kernelGsBase: cpu.optional('env.kernelgsbase'),
    sysenterCs: cpu.optional('env.sysenter_cs'),
    sysenterEsp: cpu.optional('env.sysenter_esp'),
    sysenterEip: cpu.optional('env.sysenter_eip'),
    tsc: cpu.optional('env.tsc'),
    tscAux: cpu.optional('env.tsc_aux'),
    pat: cpu.optional('env.pat'),
    xcr0: cpu.optional('env.xcr0'),
    mxcsr: Number(cpu.required('env.mxcsr')),
    hflags: Number(cpu.required('env.hflags')),
  };
}

class CpuFields {
  readonly #device: DeviceState;
  readonly #fields: ReadonlyMap<string, DeviceField>;

  constructor(device: DeviceState) {
    this.#device = device;
    this.#fields = new Map(device.fields.map((field) => [field.name, field]));
  }

  required(name: string): bigint {
    return this.#integer(this.#value(name), name);
  }

  /** The register's value; 0 where there is none. */
  optional(name: string): bigint {
    const value = this.#value(name);
    return value === undefined ? 0n : this.#integer(value, name);
  }

  integers(name: string, min: number): readonly bigint[] {
    return this.list(name, min).map((value) => this.#integer(value, name));
  }

  list(name: string, min: number): readonly DeviceValue[] {
    const value = this.#value(name);
    if (isList(value) && value.length >= min) return value;
    throw this.#unexpected(name, `at least ${min} elements`);
  }

  table(name: string): X86Segment {
    return this.segment(this.#value(name), name);
  }

  segment(value: DeviceValue | undefined, name: string): X86Segment {
    if (!isStruct(value)) throw this.#unexpected(name, 'a segment');
    const member = (wanted: string): bigint =>
      this.#integer(value.fields.find((field) => field.name === wanted)?.value, `${name}.${wanted}`);
    return {
      selector: Number(member('selector')),
      base: member('base'),
      limit: Number(member('limit')),
      flags: Number(member('flags')),
    };
  }

  #value(name: string): DeviceValue | undefined {
    return this.#fields.get(name)?.value;
  }

  #integer(value: DeviceValue | undefined, name: string): bigint {
    if (typeof value === 'number' || typeof value === 'bigint') return BigInt(value);
    throw this.#unexpected(name, 'an integer');
  }

  #unexpected(name: string, expected: string): MappedRamError {
    const { name: device, instanceId, offset } = this.#device;
    const message = `CPU registers: field ${name} of ${device}/${instanceId}, as x86 CPUs have it`;
    return new MappedRamError('ERR_MAPPED_RAM_UNSUPPORTED', message, {
      offset: this.#fields.get(name)?.offset ?? offset,
      expected,
    });
  }
}

function isList(value: DeviceValue | undefined): value is readonly DeviceValue[] {
  return Array.isArray(value);
}

function isStruct(value: DeviceValue | undefined): value is DeviceStruct {
  return typeof value === 'object' && value !== null && 'fields' in value;
}
