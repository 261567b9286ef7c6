import type { DeviceSection } from './device-stream.ts';
import {
  describeStruct,
  encodeStruct,
  type FieldModel,
  type StructModel,
  type ValueModel,
} from './device-model.ts';

function scalar(type: string, value: bigint): ValueModel {
  return { kind: 'scalar', type, value };
}

function list(elements: readonly ValueModel[]): ValueModel {
  return { kind: 'compressed', elements };
}

/** A segment whose four members are `seed` and the numbers after it. */
function segment(seed: bigint): ValueModel {
  const fields = [
    { name: 'selector', value: scalar('uint32', seed) },
    { name: 'base', value: scalar('uint64', seed + 1n) },
    { name: 'limit', value: scalar('uint32', seed + 2n) },
    { name: 'flags', value: scalar('uint32', seed + 3n) },
  ];
  return {
    kind: 'struct',
    inline: false,
    struct: { vmsdName: 'segment', version: 1, fields, subsections: [] },
  };
}

const SINGLE = `
  eip eflags cr[0] cr[2] cr[3] cr[4] efer star lstar cstar fmask kernelgsbase sysenter_cs sysenter_esp sysenter_eip
  tsc tsc_aux pat xcr0`
  .trim()
  .split(/\s+/);

/** All fields that the stream has of a CPU, each with a value of its own, in another order than QEMU's. */
const FIELDS: readonly FieldModel[] = [
  {
    name: 'env.regs',
    value: list(Array.from({ length: 16 }, (_, index) => scalar('uint64', BigInt(index + 1)))),
  },
  {
    name: 'env.segs',
    value: list(Array.from({ length: 6 }, (_, index) => segment(BigInt(100 + index * 10)))),
  },
  ...['ldt', 'tr', 'gdt', 'idt'].map((name, index): FieldModel => ({
    name: `env.${name}`,
    value: segment(BigInt(200 + index * 10)),
  })),
  {
    name: 'env.dr',
    value: list(Array.from({ length: 8 }, (_, index) => scalar('uint64', BigInt(300 + index)))),
  },
  ...SINGLE.map((name, index): FieldModel => ({
    name: `env.${name}`,
    value: scalar('uint64', BigInt(400 + index)),
  })),
  { name: 'env.mxcsr', value: scalar('uint32', 0x1f80n) },
  { name: 'env.hflags', value: scalar('uint32', 3n) },
];

/** The sections `cpu_common` and `cpu` of an x86 CPU. */
export function x86Sections(
  instanceId: number,
  halted: boolean,
  changed: (fields: readonly FieldModel[]) => readonly FieldModel[] = (fields) => fields,
): readonly DeviceSection[] {
  const common = [{ name: 'halted', value: scalar('uint32', halted ? 1n : 0n) }];
  return [section('cpu_common', instanceId, common), section('cpu', instanceId, changed(FIELDS))];
}

function section(name: string, instanceId: number, fields: readonly FieldModel[]): DeviceSection {
  const struct: StructModel = { vmsdName: name, version: 12, fields, subsections: [] };
  return { name, instanceId, version: 12, body: encodeStruct(struct), description: describeStruct(struct) };
}
