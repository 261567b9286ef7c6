import { ERROR_CODES, MappedRamError, systemCode } from '../../errors.ts';
import type {
  PageServerOptions,
  PageServerProgress,
  PageServerReport,
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

/** Writes a server's options. The process inherits the files, so their descriptors have other numbers there. */
export function formatStart(
  { blocks, opening, files, ...options }: PageServerOptions,
  firstFd: number,
): string {
  return JSON.stringify({
    start: {
      ...options,
      files: files.map(({ name }, index) => ({ name, fd: firstFd + index })),
      opening: opening === undefined ? undefined : base64(opening),
      blocks: blocks.map(({ layers, hot, ...block }) => ({
        ...block,
        hot: hot === undefined ? undefined : base64(hot),
        layers: layers.map(({ bitmap, ...layer }) => ({ ...layer, bitmap: base64(bitmap) })),
      })),
    },
  });
}

/** The same, as it stands in the line. */
type WrittenStart = Omit<PageServerOptions, 'blocks' | 'opening'> & {
  readonly opening?: string;
  readonly blocks: readonly (Omit<ServedBlock, 'layers' | 'hot'> & {
    readonly hot?: string;
    readonly layers: readonly {
      readonly file: number;
      readonly pagesOffset: number;
      readonly bitmap: string;
    }[];
  })[];
};

/** Reads what `formatStart` has written. Only this package writes to that process. */
export function parseOrder(line: string): { readonly start: PageServerOptions } | { readonly order: 'end' } {
  const order: { readonly start: WrittenStart } | { readonly order: 'end' } = JSON.parse(line);
  if (!('start' in order)) return order;
  const { blocks, opening, ...options } = order.start;
  return {
    start: {
      ...options,
      opening: opening === undefined ? undefined : bytes(opening),
      blocks: blocks.map(({ id, length, hostPage, layers, hot }) => ({
        id,
        length,
        hostPage,
        hot: hot === undefined ? undefined : bytes(hot),
        layers: layers.map(({ bitmap, ...layer }) => ({ ...layer, bitmap: bytes(bitmap) })),
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
