import type { Choice, DoctorReport } from '../../doctor/doctor.ts';
import { keyValues } from './columns.ts';
import { formatSize, printable } from './format.ts';
import type { Style } from './style.ts';

/** Shows the report to people. */
export function doctorLines(report: DoctorReport, style: Style): readonly string[] {
  const { nativeBinding, ioUring, filesystem, kvm, userfaultfd, sharedMemory, auto } = report;
  const verdict = (good: boolean, words: string): string => style(good ? 'green' : 'yellow', words);
  const because = (good: boolean, reason: string | undefined): string =>
    good ? verdict(true, 'yes') : `${verdict(false, 'no')} — ${printable(reason ?? 'unknown')}`;
  return [
    ...keyValues(
      [
        ['system', `${report.system} ${report.kernel} on ${report.architecture}, Node.js ${report.node}`],
        ['native code', because(nativeBinding.available, nativeBinding.why)],
        ['io_uring', because(ioUring.available, ioUring.why)],
        ['locked memory', memlock(report)],
        ['directory', printable(report.directory)],
        [
          'filesystem',
          filesystem === undefined
            ? 'unknown'
            : `${filesystem.type ?? 'unknown type'}, ${formatSize(filesystem.freeBytes)} free`,
        ],
        ['direct I/O', directIo(report, because)],
        [
          '/dev/shm',
          sharedMemory === undefined
            ? 'none'
            : `${formatSize(sharedMemory.sizeBytes)}, ${formatSize(sharedMemory.freeBytes)} free`,
        ],
        ['huge pages', hugePages(report)],
        ['KVM', because(kvm.available, kvm.why)],
        ['userfaultfd', because(userfaultfd.available, userfaultfd.why)],
        ...qemuPairs(report, because),
        ...report.modes.map(({ mode, available, why }): readonly [string, string] => [
          `  restore ${mode}`,
          because(available, why),
        ]),
      ],
      style,
    ),
    '',
    style('bold', 'auto takes here'),
    ...keyValues(
      [
        choice('I/O engine', auto.ioEngine, style),
        choice('direct I/O', auto.directIo, style),
        ...(auto.format === undefined ? [] : [choice('format', auto.format, style)]),
        ...(auto.multifd === undefined ? [] : [choice('multifd', auto.multifd, style)]),
        choice('restore', auto.mode, style),
      ],
      style,
    ),
  ];
}

function choice(
  name: string,
  { value, why }: Choice<string | boolean>,
  style: Style,
): readonly [string, string] {
  const words = typeof value === 'string' ? value : value ? 'on' : 'off';
  return [name, `${style('bold', words)} — ${printable(why)}`];
}

type Because = (good: boolean, reason: string | undefined) => string;

function memlock({ memlockBytes }: DoctorReport): string {
  if (memlockBytes === undefined) return 'not known here';
  return memlockBytes === 'unlimited' ? 'no limit' : `up to ${formatSize(memlockBytes)} without privileges`;
}

function directIo({ directIo: { available, why, ...alignment } }: DoctorReport, because: Because): string {
  const { memoryAlignment, offsetAlignment } = alignment;
  if (!available || memoryAlignment === undefined || offsetAlignment === undefined) {
    return because(available, why);
  }
  return `${because(true, undefined)}, aligned to ${offsetAlignment} bytes in the file, ${memoryAlignment} in memory`;
}

function hugePages({ hugePages: pools }: DoctorReport): string {
  const used = pools.filter(({ total }) => total > 0);
  if (used.length === 0) return 'none reserved';
  return used
    .map(({ pageBytes, total, free }) => `${total} of ${formatSize(pageBytes)} (${free} free)`)
    .join(', ');
}

function qemuPairs({ qemu }: DoctorReport, because: Because): readonly (readonly [string, string])[] {
  const { path, version, mappedRam, directIo: direct, multifd, xIgnoreShared, fdsets, why } = qemu;
  if (path === undefined || version === undefined) {
    const where = path === undefined ? '' : `${printable(path)}: `;
    return [['QEMU', `${where}${because(false, why)}`]];
  }
  return [
    ['QEMU', `${version}, ${printable(path)}`],
    ['  mapped-ram', because(mappedRam, why)],
    ['  direct-io', because(direct, 'that came with QEMU 9.1')],
    ['  multifd', because(multifd, 'this QEMU has no such capability')],
    ['  x-ignore-shared', because(xIgnoreShared, 'this QEMU has no such capability')],
    ['  fdsets', because(fdsets, 'this QEMU has no add-fd')],
  ];
}
