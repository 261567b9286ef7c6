import test from 'ava';

import { decodeX86Cpus, readX86Cpus } from '../../../ts/stream/devices/decode-x86-cpus.ts';
import type { X86Cpu } from '../../../ts/stream/devices/x86-cpu.ts';
import { readStreamIndex } from '../../../ts/stream/index.ts';
import { StrictReader } from '../strict-reader.ts';
import { deviceStream, type DeviceSection } from './device-stream.ts';
import { x86Sections } from './x86-sections.ts';

async function cpusOf(sections: readonly DeviceSection[]): Promise<readonly X86Cpu[]> {
  const reader = new StrictReader(deviceStream(sections).bytes);
  return readX86Cpus(reader, await readStreamIndex(reader));
}

function segment(seed: number): object {
  return { selector: seed, base: BigInt(seed + 1), limit: seed + 2, flags: seed + 3 };
}

test('every register comes from its own field', async (t) => {
  const [cpu] = await cpusOf(x86Sections(0, false));
  const general = { rax: 1n, rcx: 2n, rdx: 3n, rbx: 4n, rsp: 5n, rbp: 6n, rsi: 7n, rdi: 8n };
  const high = { r8: 9n, r9: 10n, r10: 11n, r11: 12n, r12: 13n, r13: 14n, r14: 15n, r15: 16n };
  const [es, cs, ss, ds, fs, gs] = [100, 110, 120, 130, 140, 150].map((seed) => segment(seed));
  const [ldt, tr, gdt, idt] = [200, 210, 220, 230].map((seed) => segment(seed));
  const control = { rip: 400n, rflags: 401n, cr0: 402n, cr2: 403n, cr3: 404n, cr4: 405n };
  const msrs = { efer: 406n, star: 407n, lstar: 408n, cstar: 409n, fmask: 410n, kernelGsBase: 411n };
  const sysenter = { sysenterCs: 412n, sysenterEsp: 413n, sysenterEip: 414n };
  const others = { tsc: 415n, tscAux: 416n, pat: 417n, xcr0: 418n, mxcsr: 0x1f80, hflags: 3 };
  const dr = [300n, 301n, 302n, 303n, 304n, 305n, 306n, 307n];
  const named = { es, cs, ss, ds, fs, gs, ldt, tr, gdt, idt };
  const all = { ...general, ...high, ...named, ...control, ...msrs, ...sysenter, ...others };
  t.deepEqual<unknown, unknown>(cpu, { index: 0, halted: false, dr, ...all });
});

test('CPUs come in the order of their numbers, each with its own state', async (t) => {
  const cpus = await cpusOf([...x86Sections(2, true), ...x86Sections(0, false), ...x86Sections(10, true)]);
  t.deepEqual(
    cpus.map(({ index, halted }) => [index, halted]),
    [
      [0, false],
      [2, true],
      [10, true],
    ],
  );
});

test('a register that every x86 CPU has is missed, or found to be something else', async (t) => {
  for (const name of ['env.regs', 'env.eip', 'env.segs', 'env.gdt', 'env.cr[3]', 'env.dr']) {
    const without = x86Sections(0, false, (fields) => fields.filter((field) => field.name !== name));
    const other = x86Sections(0, false, (fields) =>
      fields.map((field) =>
        field.name === name
          ? { name, value: { kind: 'bytes', type: 'buffer', bytes: Uint8Array.of(1) } }
          : field,
      ),
    );
    for (const sections of [without, other]) {
      const error = await t.throwsAsync(cpusOf(sections), { code: 'ERR_MAPPED_RAM_UNSUPPORTED' });
      t.true(error.message.includes(`field ${name} of cpu/0`), error.message);
    }
  }
});

test('CPUs whose fields nobody has described are no CPUs, and the error says why', (t) => {
  const field = { name: 'data', type: 'buffer', offset: 0, size: 8, value: new Uint8Array(8) };
  const place = { name: 'cpu', instanceId: 0, version: 12, offset: 0, size: 8, early: false };
  const struct = { vmsdName: 'cpu', fields: [field], subsections: [] };
  const cpu = { ...place, ...struct, rest: undefined, problem: undefined };
  t.throws(() => decodeX86Cpus({ devices: [cpu], undescribed: [], problems: [] }), {
    code: 'ERR_MAPPED_RAM_INCOMPLETE',
    message: /describes no CPU \(it has the state of CPUs without their fields/,
  });
});

test('a stream without a CPU says so', async (t) => {
  await t.throwsAsync(cpusOf(x86Sections(0, false).slice(0, 1)), { code: 'ERR_MAPPED_RAM_INCOMPLETE' });
});
