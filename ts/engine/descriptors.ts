import { binding, toMappedRamError } from './binding.ts';
import { probeBinding } from './probe.ts';

/** True when descriptors can travel through a socket: it is a unix socket, on Linux. */
export function passesDescriptors(socketFd: number): boolean {
  return binding().passesDescriptors(socketFd);
}

/** The process that listened where a unix socket is connected to; undefined where nobody tells. */
export function peerPid(socketFd: number): number | undefined {
  return probeBinding().available ? (binding().peerPid(socketFd) ?? undefined) : undefined;
}

/**
 * Sends bytes and, with the first of them, descriptors. The call never waits. Nobody else may write to the socket
 * meanwhile.
 * @returns the number of bytes that the socket took; 0 when it is full and nothing was sent
 * @throws {MappedRamError} ERR_MAPPED_RAM_UNSUPPORTED for a socket that descriptors cannot travel through;
 *   ERR_MAPPED_RAM_IO
 */
export function sendWithDescriptors(socketFd: number, bytes: Uint8Array, fds: readonly number[]): number {
  const { sent = 0, error } = binding().sendWithDescriptors(socketFd, bytes, [...fds]);
  if (error !== undefined) throw toMappedRamError(error);
  return sent;
}
