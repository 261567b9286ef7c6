import { MappedRamError } from '../errors.ts';
import type { RestoreMode } from '../restore/modes/modes.ts';
import type { RestoreOptions } from './restore.ts';

type Choices = Pick<RestoreOptions, 'multifd' | 'channels' | 'directIo' | 'ramDirectory' | 'transfer'>;

const WHY: Readonly<Record<RestoreMode, string>> = {
  instant: 'the memory is mapped out of the snapshot, nobody reads it beforehand',
  preload: 'no memory goes through QEMU; how it is read is said in transfer',
  eager: 'QEMU reads the memory itself',
};

/**
 * Refuses what is asked for and has no meaning in the mode. `auto`, and `off` where it is what happens, are no demands.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT naming the mode and each such option
 */
export function assertOptionsFor(mode: RestoreMode, options: Choices): void {
  const { ramDirectory, transfer } = options;
  const unused = [
    ...(mode === 'eager' ? [] : channelOptions(options)),
    ...(mode === 'preload' || ramDirectory === undefined ? [] : ['ramDirectory']),
    ...(mode === 'preload' ? [] : transferOptions(transfer)),
  ];
  if (unused.length === 0) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_INVALID_ARGUMENT',
    `mode ${mode} has no use for ${unused.join(', ')}: ${WHY[mode]}`,
  );
}

/**
 * Refuses what only QEMU's reading of the mapped-ram file has.
 * @param why QEMU is not to read it
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED naming each such option
 */
export function assertStreamOptions(options: Choices, why: string): void {
  const { channels } = options;
  const unused = channelOptions({ ...options, channels: channels === 1 ? undefined : channels });
  if (unused.length === 0) return;
  throw new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    `${unused.join(', ')} cannot be had: the guest goes to QEMU as a plain stream, through one channel and the page cache; ${why}`,
  );
}

/** Those of QEMU's own reading. */
function channelOptions({ multifd, channels = 'auto', directIo }: Choices): readonly string[] {
  return named({
    multifd: multifd === 'on',
    channels: channels !== 'auto',
    directIo: directIo === 'on',
  });
}

/** Those of our engine's. */
function transferOptions(transfer: Choices['transfer'] = {}): readonly string[] {
  const { channels, queueDepth, requestSize, engine = 'auto', directIo } = transfer;
  return named({
    'transfer.channels': channels !== undefined,
    'transfer.queueDepth': queueDepth !== undefined,
    'transfer.requestSize': requestSize !== undefined,
    'transfer.engine': engine !== 'auto',
    'transfer.directIo': directIo === 'on',
  });
}

function named(asked: Readonly<Record<string, boolean>>): readonly string[] {
  return Object.keys(asked).filter((name) => asked[name]);
}
