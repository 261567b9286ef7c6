import { open, readFile } from 'node:fs/promises';

/** A stretch of a process's address space. */
interface Stretch {
  readonly address: number;
  /** Bytes. */
  readonly length: number;
}

/** Size of a read in bytes. */
const CHUNK = 1 << 20;
const PAGE = 4096;
/** The first line of a mapping's entry, and a size in one (proc_pid_smaps(5)). */
const MAPPING = /^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) ...(?<sharing>.) [0-9a-f]+ \S+ (?<inode>\d+)/;
const SIZE = /^(?:Rss|Swap): +(?<kibibytes>\d+) kB/;

/**
 * Finds how many bytes of a process's memory are in pages that are not zero, or an upper bound of that. Where this
 * process may read the other's memory, the pages are counted. Elsewhere the kernel's account of private memory that no
 * file backs is the bound: a page that the kernel has not given holds nothing.
 *
 * @param limit the count ends as soon as it is above this number of bytes
 * @returns undefined when neither can be had
 */
export async function bytesHeld(pid: number, stretch: Stretch, limit: number): Promise<number | undefined> {
  const counted = await countData(pid, stretch, limit).catch(() => undefined);
  if (counted !== undefined) return counted;
  const smaps = await readFile(`/proc/${pid}/smaps`, 'latin1').catch(() => undefined);
  return smaps === undefined ? undefined : residentBytes(smaps, stretch);
}

/**
 * Reads the kernel's account of a stretch.
 * @param smaps the text of /proc/PID/smaps
 * @returns bytes; undefined when a part of the stretch is not mapped, is shared, or is a file's
 */
export function residentBytes(smaps: string, { address, length }: Stretch): number | undefined {
  const stop = address + length;
  let [reached, bytes, inside, resident] = [address, 0, 0, 0];
  const close = (): void => {
    bytes += Math.min(inside, resident);
    [inside, resident] = [0, 0];
  };
  for (const line of smaps.split('\n')) {
    const { start, end, sharing, inode } = MAPPING.exec(line)?.groups ?? {};
    if (start === undefined || end === undefined) {
      if (inside > 0) resident += Number(SIZE.exec(line)?.groups?.['kibibytes'] ?? 0) * 1024;
      continue;
    }
    close();
    const [from, to] = [Number(`0x${start}`), Number(`0x${end}`)];
    if (to <= address || from >= stop) continue;
    if (from > reached || sharing !== 'p' || inode !== '0') return undefined;
    inside = Math.min(to, stop) - reached;
    reached = Math.min(to, stop);
  }
  close();
  return reached < stop ? undefined : bytes;
}

/** Counts the bytes in pages that are not zero. Reading memory that was never touched takes none. */
async function countData(pid: number, { address, length }: Stretch, limit: number): Promise<number> {
  const memory = await open(`/proc/${pid}/mem`, 'r');
  try {
    const [buffer, zeros] = [Buffer.allocUnsafe(CHUNK), Buffer.alloc(CHUNK)];
    let held = 0;
    for (let done = 0; done < length && held <= limit;) {
      const wanted = Math.min(CHUNK, length - done);
      const { bytesRead } = await memory.read(buffer, 0, wanted, address + done);
      if (bytesRead === 0) throw new RangeError(`process ${pid} has no memory at ${address + done}`);
      const isZero = (from: number, to: number): boolean => buffer.compare(zeros, from, to, from, to) === 0;
      if (!isZero(0, bytesRead)) {
        for (let at = 0; at < bytesRead; at += PAGE) {
          const end = Math.min(at + PAGE, bytesRead);
          if (!isZero(at, end)) held += end - at;
        }
      }
      done += bytesRead;
    }
    return held;
  } finally {
    await memory.close();
  }
}
