import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

import { MappedRamError, systemCode } from '../errors.ts';
import { passesDescriptors, sendWithDescriptors } from '../engine/descriptors.ts';

/** A byte that is in no JSON text. */
const FORGET = Uint8Array.of(0xff);

/** Milliseconds between attempts to send a descriptor through a socket that is full. */
const FULL_MS = 5;

/** The system's codes for a connection whose other end is gone. */
const LOST = new Set(['EPIPE', 'ECONNRESET', 'ENOTCONN', 'ECONNREFUSED']);

export interface QmpMessageToSend {
  readonly text: string;
  /** A descriptor of this process that travels with the message. */
  readonly fd?: number | undefined;
  /** Called right before the first byte leaves: a message that was given up is not sent. */
  readonly wanted: () => boolean;
}

/**
 * The sending side of a QMP connection. It sends one message after the other, and hands each to the kernel as a whole
 * before the next. A descriptor goes past Node's stream, and can travel with its own message only so.
 */
export class QmpWriter {
  readonly #stream: Duplex;
  #last: Promise<void> = Promise.resolve();

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  /** The number of the descriptor beneath the stream, where there is one and it carries QMP unchanged. */
  get descriptor(): number | undefined {
    return descriptorOf(this.#stream);
  }

  /** True when descriptors can be sent: the stream is a unix socket, as far as this platform supports that. */
  get passesDescriptors(): boolean {
    const socket = this.descriptor;
    return socket !== undefined && passesDescriptors(socket);
  }

  /**
   * Makes QEMU drop the part of an incomplete command that it has received, before any message is sent. QEMU answers
   * that it did not understand.
   */
  forget(): void {
    this.#stream.write(FORGET);
  }

  /**
   * Settles when the kernel has the message, or when it is given up. A failing stream shows in the stream's events.
   *
   * @throws {MappedRamError} when the descriptor cannot be sent: ERR_MAPPED_RAM_UNSUPPORTED, ERR_MAPPED_RAM_IO
   */
  send(message: QmpMessageToSend): Promise<void> {
    const sent = this.#last.then(() => this.#send(message));
    this.#last = sent.catch(() => undefined);
    return sent;
  }

  async #send({ text, fd, wanted }: QmpMessageToSend): Promise<void> {
    if (!wanted()) return;
    if (fd === undefined) return this.#write(text);
    const bytes = Buffer.from(text);
    const taken = await this.#sendFirst(bytes, fd, wanted);
    if (taken > 0 && taken < bytes.length) await this.#write(bytes.subarray(taken));
  }

  /**
   * Sends the beginning of the message with the descriptor. Returns the number of bytes sent; 0 when the message was
   * given up.
   */
  async #sendFirst(bytes: Uint8Array, fd: number, wanted: () => boolean): Promise<number> {
    for (;;) {
      // A message that is lost with its connection is no fault of the descriptor.
      if (!wanted() || this.#stream.destroyed) return 0;
      const socket = descriptorOf(this.#stream);
      if (socket === undefined) throw unsupported();
      try {
        const sent = sendWithDescriptors(socket, bytes, [fd]);
        if (sent > 0) return sent;
      } catch (error) {
        if (!isConnectionLost(error)) throw isUnsupported(error) ? unsupported() : error;
        // The stream reports the failure to its listeners.
        this.#stream.destroy(error);
        return 0;
      }
      await delay(FULL_MS);
    }
  }

  #write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.write(data, () => resolve());
    });
  }
}

/**
 * Returns the number of the descriptor beneath a socket. Node has no official way to it, but every release has it in
 * this place. An encrypted connection never counts: bytes that go past its stream would not be encrypted.
 */
function descriptorOf(stream: Duplex): number | undefined {
  if (!(stream instanceof Socket) || 'encrypted' in stream) return undefined;
  const handle: unknown = Reflect.get(stream, '_handle');
  if (typeof handle !== 'object' || handle === null) return undefined;
  const fd: unknown = Reflect.get(handle, 'fd');
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

function isConnectionLost(error: unknown): error is MappedRamError {
  return error instanceof MappedRamError && LOST.has(systemCode(error.cause) ?? '');
}

function isUnsupported(error: unknown): boolean {
  return error instanceof MappedRamError && error.code === 'ERR_MAPPED_RAM_UNSUPPORTED';
}

function unsupported(): MappedRamError {
  return new MappedRamError(
    'ERR_MAPPED_RAM_UNSUPPORTED',
    'this QMP connection cannot hand over descriptors: that takes a unix socket, on Linux',
  );
}
