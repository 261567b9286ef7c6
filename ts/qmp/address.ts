import { MappedRamError } from '../errors.ts';

/** The address of a QMP server. */
export type QmpAddress = { readonly path: string } | { readonly host: string; readonly port: number };

const HOST_PORT = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:/[\]]*)):(?<port>\d{1,5})$/;
const MAX_PORT = 2 ** 16 - 1;

/**
 * Reads `unix:PATH`, `tcp:HOST:PORT`, `HOST:PORT` (also `[V6]:PORT`; an empty host is localhost) or a path. A text that
 * could be both a host with a port and a path counts as the former; `./name:1` or `unix:name:1` means the file.
 *
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT
 */
export function parseQmpAddress(text: string): QmpAddress {
  if (text.startsWith('unix:')) return { path: checkPath(text, text.slice('unix:'.length)) };
  const tcp = text.startsWith('tcp:');
  const { v6, host, port } = HOST_PORT.exec(tcp ? text.slice('tcp:'.length) : text)?.groups ?? {};
  if (port !== undefined && Number(port) > 0 && Number(port) <= MAX_PORT) {
    return { host: v6 ?? (host === undefined || host === '' ? 'localhost' : host), port: Number(port) };
  }
  if (tcp || port !== undefined) throw invalid(text, `tcp:HOST:PORT with a port from 1 to ${MAX_PORT}`);
  return { path: checkPath(text, text) };
}

function checkPath(text: string, path: string): string {
  if (path === '' || path.includes('\0'))
    throw invalid(text, 'a path, unix:PATH, tcp:HOST:PORT or HOST:PORT');
  return path;
}

function invalid(found: string, expected: string): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'address of the QMP server', {
    expected,
    found: JSON.stringify(found),
  });
}
