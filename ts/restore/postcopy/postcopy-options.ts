import { PUSH_PACES, type PushPace } from '../../engine/serve/page-server.ts';
import { MappedRamError } from '../../errors.ts';
import { assertOptions } from '../../io/assert-options.ts';
import { assertWord } from '../../io/option-words.ts';

/** Options of the mode `lazy`, whose memory follows the guest. */
export interface PostcopyOptions {
  /**
   * The pace at which pages come that nobody waits for: `full`; `gentle`, in small portions and never right behind a
   * page that the guest waits for; or `off`, so that the guest gets what it touches and nothing else.
   * @default 'full'
   */
  readonly push?: PushPace | undefined;
  /** Limit in bytes per second for those pages. @default no limit */
  readonly maxBandwidth?: number | undefined;
  /**
   * True for a connection of its own for pages that the guest waits for (QEMU 8.1 and later).
   * When all is sent, the guest stands still for a moment, and QEMU does not answer while a CPU waits for a page then:
   * should the server die there, only a connection for commands out of band helps, and `true` is refused over another.
   * @default 'auto': where QEMU has it, and the connection to QEMU takes commands out of band
   */
  readonly preempt?: boolean | 'auto' | undefined;
  /**
   * The process that serves the pages: one of its own, which goes on when this process ends, and which is replaced when
   * it ends itself; or this one, so that the guest waits for ever when this process ends (`recover` takes over).
   * @default 'process'
   */
  readonly server?: 'process' | 'caller' | undefined;
}

/** @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT, ERR_MAPPED_RAM_OUT_OF_RANGE */
export function assertPostcopyOptions(options: PostcopyOptions): void {
  assertOptions(options);
  const { push, maxBandwidth, preempt = 'auto', server } = options;
  if (push !== undefined) assertWord('postcopy.push', push, PUSH_PACES);
  if (server !== undefined) assertWord('postcopy.server', server, ['process', 'caller']);
  if (preempt !== 'auto' && typeof preempt !== 'boolean') {
    throw new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', 'postcopy.preempt', {
      expected: "true, false or 'auto'",
      found: String(preempt),
    });
  }
  if (maxBandwidth === undefined || (Number.isSafeInteger(maxBandwidth) && maxBandwidth > 0)) return;
  throw new MappedRamError('ERR_MAPPED_RAM_OUT_OF_RANGE', 'postcopy.maxBandwidth', {
    expected: 'a whole number of bytes per second, 1 or more',
    found: maxBandwidth,
  });
}
