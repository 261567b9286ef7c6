import { MappedRamError, messageOf } from '../errors.ts';
import { binding } from './binding.ts';

/** The availability of io_uring on this host. */
export interface IoUringProbe {
  readonly available: boolean;
  /** The reason in words, when io_uring is not available: a seccomp profile, a sysctl, an old kernel. */
  readonly why?: string | undefined;
}

/** The answer to whether something is available, with the reason if not. */
export interface Availability {
  readonly available: boolean;
  readonly why: string | undefined;
}

/** The availability of direct I/O in a directory. */
export interface DirectIoProbe {
  readonly available: boolean;
  /** The reason in words, when direct I/O is not available. */
  readonly why?: string | undefined;
  /** Alignment in bytes that buffers need. */
  readonly memoryAlignment?: number | undefined;
  /** Alignment in bytes that file offsets and lengths need. */
  readonly offsetAlignment?: number | undefined;
}

/** The abilities of a host and of a directory. */
export interface Probe {
  readonly ioUring: IoUringProbe;
  readonly directIo: DirectIoProbe;
  /** The engine that `auto` takes. */
  readonly ioEngine: 'io_uring' | 'threads';
  /** True when `directIo: 'auto'` uses direct I/O in that directory. */
  readonly usesDirectIo: boolean;
}

/**
 * Finds out what this host and a directory offer. The probe makes a ring, which it lets go at once, and a file, which
 * it removes again.
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

/** Finds out whether this package's native code can be loaded here. */
export function probeBinding(): Availability {
  try {
    binding();
    return { available: true, why: undefined };
  } catch (error) {
    if (!(error instanceof MappedRamError)) throw error;
    return { available: false, why: messageOf(error) };
  }
}

/**
 * Finds out whether this process may have a userfaultfd, or may open `/dev/userfaultfd`, by which QEMU 8.0 and later gets
 * one. What the probe opens it lets go at once.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INTERNAL when there is no native binding for this platform
 */
export function probeFaults(): Availability {
  const { available, why } = binding().probeFaults();
  return { available, why };
}
