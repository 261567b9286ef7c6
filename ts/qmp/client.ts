import { Duplex } from 'node:stream';

import type { MappedRamError } from '../errors.ts';
import { peerPid } from '../engine/descriptors.ts';
import { deferred } from '../host/deferred.ts';
import { type WaitOptions, waitWithin } from '../host/wait-within.ts';
import { closed, explainByPeer, lost, timeout } from './client-errors.ts';
import { CommandTurns } from './command-turns.ts';
import { connectOptions, type ExecuteOptions, type QmpClientOptions } from './client-options.ts';
import type { QmpArguments, QmpResult } from './commands.ts';
import { silence } from './connect-errors.ts';
import { connectSocket } from './connect-socket.ts';
import type { QmpEvent, QmpEventFilter, QmpEvents } from './events.ts';
import type { QmpValue } from './json.ts';
import { isForeign, notQmp } from './foreign-peer.ts';
import { QmpMessageTexts } from './message-texts.ts';
import { parseQmpMessage, type QmpGreeting, type QmpMessage, type QmpVersion } from './message.ts';
import { PendingCommands } from './pending-commands.ts';
import { firstOf, QmpSubscribers } from './subscribers.ts';
import { QmpWriter } from './writer.ts';

/**
 * A QMP connection that has been through its greeting and `qmp_capabilities`. Commands may overlap; replies are matched
 * by id. When the peer goes away, everything pending rejects.
 */
export class QmpClient implements AsyncDisposable {
  readonly #stream: Duplex;
  readonly #writer: QmpWriter;
  readonly #options: QmpClientOptions;
  readonly #texts: QmpMessageTexts;
  readonly #pending: PendingCommands;
  readonly #turns: CommandTurns;
  readonly #subscribers = new QmpSubscribers();
  readonly #greeting = deferred<QmpGreeting>();
  #version: QmpVersion = { major: 0, minor: 0, micro: 0 };
  /** True when another process has used the connection before. */
  readonly #isSuccessor: boolean;
  /** The peer's process: a lost connection does not tell any more. */
  #peer: number | undefined;
  #ended: Promise<MappedRamError> | undefined;

  private constructor(stream: Duplex, options: QmpClientOptions, isSuccessor = false) {
    this.#stream = stream;
    this.#pending = new PendingCommands(isSuccessor);
    this.#isSuccessor = isSuccessor;
    this.#texts = new QmpMessageTexts(isSuccessor);
    this.#writer = new QmpWriter(stream);
    this.#turns = new CommandTurns(this.#writer, this.#pending);
    this.#options = options;
    this.#greeting.promise.catch(() => undefined);
    stream.on('data', (chunk: Uint8Array) => this.#receive(chunk));
    stream.on('error', (error: Error) => this.#lose('the connection to QEMU failed', error));
    for (const end of ['end', 'close']) stream.on(end, () => this.#lose('QEMU closed the connection'));
  }

  /**
   * Connects to a QMP server.
   * @param server the path of its unix socket, `unix:PATH`, `tcp:HOST:PORT` or `HOST:PORT`; or a stream that is
   *   connected already, see {@link QmpClient.open}
   * @param given `timeoutMs`, until QEMU has greeted, is 10000 by default
   * @throws {MappedRamError} ERR_MAPPED_RAM_IO when nobody listens there, ERR_MAPPED_RAM_TIMEOUT when QEMU does not
   *   greet in time, ERR_MAPPED_RAM_BUSY when other clients are seen to hold the unix socket or to fill its queue (on
   *   Linux), ERR_MAPPED_RAM_INVALID_ARGUMENT for a text that is no address, ERR_MAPPED_RAM_QEMU as {@link
   *   QmpClient.open}
   */
  static async connect(server: string | Duplex, given: QmpClientOptions = {}): Promise<QmpClient> {
    const options = connectOptions(given);
    if (server instanceof Duplex) return QmpClient.open(server, options);
    const socket = await connectSocket(server, options);
    return QmpClient.open(socket, { ...options, server });
  }

  /**
   * Takes over a stream that leads to a QMP server. The stream is destroyed when the client ends, or when this rejects.
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when the peer goes away or does not speak QMP, ERR_MAPPED_RAM_TIMEOUT
   *   when it does not greet in time
   */
  static async open(stream: Duplex, options: QmpClientOptions = {}): Promise<QmpClient> {
    const client = new QmpClient(stream, options);
    client.#peer = client.peerPid;
    try {
      const greeting = await waitWithin(client.#greeting.promise, options, () =>
        silence(options.server, client.#texts.incomplete),
      );
      const oob = greeting.oob && options.oob === true;
      await client.execute('qmp_capabilities', oob ? { enable: ['oob'] } : undefined, options);
      client.#version = greeting.version;
      client.#turns.readsAhead = oob;
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /**
   * Continues a connection that another process has brought through its greeting and does not use any more. That
   * process may have ended in the middle of sending a command. The stream is destroyed when the client ends. There is
   * no `version`.
   */
  static succeed(stream: Duplex, options: QmpClientOptions = {}): QmpClient {
    const client = new QmpClient(stream, options, true);
    client.#writer.forget();
    return client;
  }

  /** QEMU's version, from its greeting. */
  get version(): QmpVersion {
    return this.#version;
  }

  /** QEMU's process, when this process started it or was told its id. */
  get pid(): number | undefined {
    return this.#options.pid;
  }

  /** The process at the other end of a unix socket, on Linux, where it is another and can be seen. @internal */
  get peerPid(): number | undefined {
    const { descriptor } = this;
    const pid = descriptor === undefined ? undefined : peerPid(descriptor);
    return pid === process.pid ? undefined : pid;
  }

  /** The end of QEMU's output on stderr so far, where that can be seen. */
  get stderr(): string {
    return this.#options.stderr?.() ?? '';
  }

  /** True while commands can be sent: neither side has ended the connection. */
  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** The address that this client connects to, when {@link QmpClient.connect} got a text. */
  get server(): string | undefined {
    return this.#options.server;
  }

  /** True when commands can get through whatever QEMU's main thread waits for. @internal */
  get takesOutOfBand(): boolean {
    return this.#turns.readsAhead;
  }

  /** The descriptor of the connection, where there is one. @internal */
  get descriptor(): number | undefined {
    return this.#ended === undefined ? this.#writer.descriptor : undefined;
  }

  /** True when the connection can carry descriptors: it is a unix socket, on Linux. QEMU is on this host then. */
  get passesDescriptors(): boolean {
    return this.#ended === undefined && this.#writer.passesDescriptors;
  }

  /**
   * Runs a command. QEMU may still carry out a command that was sent and then given up by timeout or signal. Arguments
   * and results of the commands in {@link QmpCommands} are typed as in QEMU's own schema.
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when QEMU refuses (`qmp` is its reply) or the connection is lost;
   *   ERR_MAPPED_RAM_TIMEOUT when the time is over; ERR_MAPPED_RAM_IO when a descriptor cannot be sent;
   *   ERR_MAPPED_RAM_UNSUPPORTED when this connection cannot carry descriptors; ERR_MAPPED_RAM_CLOSED after `close()`
   */
  execute<Command extends string>(
    command: Command,
    args?: QmpArguments<Command>,
    options?: ExecuteOptions,
  ): Promise<QmpResult<Command>>;
  async execute(
    command: string,
    args?: QmpArguments<string>,
    { timeoutMs = this.#options.commandTimeoutMs ?? 60_000, signal, fd, oob }: ExecuteOptions = {},
  ): Promise<QmpValue> {
    signal?.throwIfAborted();
    if (this.#ended !== undefined) throw await this.#ended;
    const pending = this.#pending.add(command);
    try {
      // Arguments that are no JSON throw here, and the command must not stay behind.
      this.#turns.send(pending, { args, fd, oob }).catch(pending.reject);
      return await waitWithin(pending.promise, { timeoutMs, signal }, () => timeout(command));
    } finally {
      this.#pending.remove(pending);
    }
  }

  /**
   * Returns all events from this call on, or those that the filter lets through. Subscribe before the command that
   * causes them.
   */
  events(filter?: QmpEventFilter): QmpEvents {
    const events = this.#subscribers.add(filter);
    if (this.#ended !== undefined) void this.#ended.then((error) => this.#subscribers.end(error));
    return events;
  }

  /**
   * Waits for the first event from this call on that the filter lets through.
   * @throws {MappedRamError} ERR_MAPPED_RAM_QEMU when the connection is lost; ERR_MAPPED_RAM_TIMEOUT when the time is
   *   over; ERR_MAPPED_RAM_CLOSED when the client is closed meanwhile
   */
  waitForEvent(filter: QmpEventFilter, options: WaitOptions = {}): Promise<QmpEvent> {
    return firstOf(this.events(filter), options);
  }

  /** Ends the connection, not QEMU. May be called again. */
  async close(): Promise<void> {
    this.#ended ??= this.#end(Promise.resolve(closed()));
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #receive(chunk: Uint8Array): void {
    if (this.#ended !== undefined) return;
    try {
      for (const text of this.#texts.push(chunk)) this.#dispatch(text, parseQmpMessage(text));
      if (isForeign(this.#texts.incomplete)) this.#dispatch(this.#texts.incomplete, undefined);
    } catch (error) {
      this.#lose('QEMU does not speak QMP', error);
    }
  }

  #dispatch(text: string, message: QmpMessage | undefined): void {
    if (message === undefined) {
      this.#ended ??= this.#end(Promise.resolve(notQmp(text, this.server)));
    } else if (message.kind === 'greeting') {
      this.#greeting.resolve(message.greeting);
    } else if (message.kind === 'event') {
      this.#subscribers.push(message.event);
    } else if (message.kind === 'error' && message.id === undefined) {
      // The predecessor's last command may have been cut off, which QEMU answers without an id.
      if (!this.#isSuccessor) this.#lose(`QEMU did not understand: ${message.error.desc}`);
    } else {
      this.#pending.settle(message);
    }
  }

  #lose(what: string, cause?: unknown): void {
    const { explainLoss: explain = explainByPeer(this.pid ?? this.#peer) } = this.#options;
    this.#ended ??= this.#end(lost(what, explain, cause));
  }

  async #end(reason: Promise<MappedRamError>): Promise<MappedRamError> {
    this.#stream.destroy();
    const error = await reason;
    this.#greeting.reject(error);
    this.#pending.rejectAll(error);
    this.#subscribers.end(error);
    return error;
  }
}
