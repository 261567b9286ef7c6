import { binding } from './binding.ts';

/** What io_uring is good for on this host. */
export interface IoUringProbe {
  readonly available: boolean;
  /** In words, when it is not available: a seccomp profile, a sysctl, an old kernel. */
  readonly why?: string | undefined;
}

/** What direct I/O is good for in a directory. */
export interface DirectIoProbe {
  readonly available: boolean;
  /** In words, when it is not available. */
  readonly why?: string | undefined;
  /** Alignment in bytes that buffers need. */
  readonly memoryAlignment?: number | undefined;
  /** Alignment in bytes that file offsets and lengths need. */
  readonly offsetAlignment?: number | undefined;
}

/** What a host and a directory offer. */
export interface Probe {
  readonly ioUring: IoUringProbe;
  readonly directIo: DirectIoProbe;
  /** The engine that `auto` takes. */
  readonly ioEngine: 'io_uring' | 'threads';
  /** Whether `directIo: 'auto'` uses direct I/O in that directory. */
  readonly usesDirectIo: boolean;
}

/**
 * Finds out what this host and a directory offer, with a ring that is let go at once and a file that is removed again.
 * @param directory where snapshots are to be kept; must be writable. Default: the current one.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INTERNAL when there is no native binding for this platform
 */
export function probe(directory = '.'): Probe {
  const ioUring = binding().probeRing();
  const directIo = binding().probeDirectIo(directory);
  return {
    ioUring,
    directIo,
    ioEngine: ioUring.available ? 'io_uring' : 'threads',
    usesDirectIo: directIo.available,
  };
}
