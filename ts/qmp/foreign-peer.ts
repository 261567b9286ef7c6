import { MappedRamError } from '../errors.ts';

const GIVE_QMP = 'give QEMU a QMP server with -qmp unix:PATH,server=on,wait=off and name that';

/** Servers that speak first, by the beginning of what they say. */
const SERVERS: readonly (readonly [begins: RegExp, words: string])[] = [
  [
    /^(?:QEMU \S+ monitor|\(qemu\))/,
    `this is a human monitor (HMP), not QMP: ${GIVE_QMP}, or make it -mon …,mode=control`,
  ],
  [/^RFB \d/, `this is a VNC server, not QMP: ${GIVE_QMP}`],
  [/^SSH-/, 'this is an SSH server, not QMP'],
  [/^HTTP\//, 'this is an HTTP server, not QMP'],
  [/^NBDMAGIC/, `this is an NBD server, not QMP: ${GIVE_QMP}`],
  [/^[+-]?\$.*#/, `this is a gdbstub, not QMP: ${GIVE_QMP}`],
];

/** Says who the server is that has sent something else than QMP. @param said the beginning of what it sent */
export function notQmp(said: string, path: string | undefined): MappedRamError {
  const words = SERVERS.find(([begins]) => begins.test(said))?.[1];
  if (words !== undefined) return new MappedRamError('ERR_MAPPED_RAM_QEMU', words, { path });
  return new MappedRamError(
    'ERR_MAPPED_RAM_QEMU',
    'this is no QMP server (a serial port, or another program?)',
    { path, expected: "QMP's greeting, or a message", found: JSON.stringify(said.slice(0, 80)) },
  );
}

/** True for the beginning of a text by which a server is known at once, whether or not its line ends. */
export function isForeign(said: string): boolean {
  return SERVERS.some(([begins]) => begins.test(said));
}
