import { type CommandLineOption, membersOf, valuesOf } from './options.ts';

/** Options with which QEMU adds no monitor of its own. */
const MONITORS = ['monitor', 'mon', 'qmp', 'qmp-pretty', 'nodefaults'];

/**
 * Returns the options that `-nographic` implies: serial port and monitor on QEMU's standard input and output, the
 * monitor alone when the serial port is elsewhere. QEMU leaves that monitor out as soon as the command line has any
 * other, and the QMP monitor of `QemuProcess` is one.
 */
export function standardMonitor(options: readonly CommandLineOption[]): readonly string[] {
  // A monitor in a file of -readconfig does not count for QEMU.
  const has = (names: readonly string[]): boolean =>
    options.some(({ name, configFile }) => names.includes(name ?? '') && configFile === undefined);
  if (!has(['nographic']) || has(MONITORS)) return [];
  // QEMU 11.1 has objects in the place of -mon.
  if (membersOf(options, 'object').some((object) => object.get('qom-type')?.startsWith('monitor-')))
    return [];
  const serial = valuesOf(options, 'serial');
  if (serial.some((value) => value.startsWith('mon:'))) return [];
  const hasSerial =
    serial.length > 0 || membersOf(options, 'device').some((device) => device.get('driver') === 'isa-serial');
  return hasSerial ? ['-monitor', 'stdio'] : ['-serial', 'mon:stdio'];
}
