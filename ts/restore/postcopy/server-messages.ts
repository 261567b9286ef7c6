import { ERROR_CODES, MappedRamError, systemCode } from '../../errors.ts';
import type {
  PageServerPeer,
  PageServerProgress,
  PageServerReport,
  PageServerWork,
  ServedBlock,
} from '../../engine/serve/page-server.ts';

/** What a server's process tells: one line of JSON each. */
export type ServerNews =
  | { readonly news: 'ready' | 'loaded' | 'pushed' }
  | { readonly news: 'progress'; readonly progress: PageServerProgress }
  | { readonly news: 'unreadable' | 'failed'; readonly error: PlainError }
  | { readonly news: 'done'; readonly report: PageServerReport };

/** An error as data. */
export interface PlainError {
  readonly code: string;
  readonly words: string;
  readonly path?: string | undefined;
  readonly offset?: number | undefined;
  readonly cause?: string | undefined;
  readonly causeCode?: string | undefined;
}

export function errorToPlain(error: unknown): PlainError {
  if (!(error instanceof MappedRamError)) return { code: 'ERR_MAPPED_RAM_INTERNAL', words: String(error) };
  const { code, shortMessage: words, path, offset, cause } = error;
  return { code, words, path, offset, cause: cause?.message, causeCode: systemCode(cause) };
}

export function errorOfPlain({ code, words, path, offset, cause, causeCode }: PlainError): MappedRamError {
  const known = ERROR_CODES.find((one) => one === code) ?? 'ERR_MAPPED_RAM_INTERNAL';
  const beneath =
    cause === undefined
      ? undefined
      : Object.assign(new Error(cause), causeCode === undefined ? {} : { code: causeCode });
  return new MappedRamError(known, words, { path, offset, cause: beneath });
}

/** What a server's process is told: its work, which takes a while to read, then where QEMU is, then to end. */
export type ServerOrder =
  | { readonly work: PageServerWork }
  | { readonly peer: PageServerPeer }
  | { readonly order: 'end' };

/** Writes an order as one line. The process inherits the files, so their descriptors have other numbers there. */
export function formatOrder(order: ServerOrder, firstFd: number): string {
  if (!('work' in order)) return JSON.stringify(order);
  const { blocks, opening, files, ...others } = order.work;
  return JSON.stringify({
    work: {
      ...others,
      files: files.map(({ name }, index) => ({ name, fd: firstFd + index })),
      opening: opening === undefined ? undefined : base64(opening),
      blocks: blocks.map(({ id, length, hostPage, layers, hot }) => ({
        id,
        length,
        hostPage,
        layers,
        hot: hot === undefined ? undefined : base64(hot),
      })),
    },
  });
}

/** The work as it stands in the line. */
type WrittenWork = Omit<PageServerWork, 'blocks' | 'opening'> & {
  readonly opening?: string;
  readonly blocks: readonly (Omit<ServedBlock, 'hot'> & { readonly hot?: string })[];
};

/** Reads what `formatOrder` has written. Only this package writes to that process. */
export function parseOrder(line: string): ServerOrder {
  const order: { readonly work: WrittenWork } | Exclude<ServerOrder, { work: unknown }> = JSON.parse(line);
  if (!('work' in order)) return order;
  const { blocks, opening, ...others } = order.work;
  return {
    work: {
      ...others,
      opening: opening === undefined ? undefined : bytes(opening),
      blocks: blocks.map(({ id, length, hostPage, layers, hot }) => ({
        id,
        length,
        hostPage,
        layers,
        hot: hot === undefined ? undefined : bytes(hot),
      })),
    },
  };
}

function base64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64');
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'base64');
}
