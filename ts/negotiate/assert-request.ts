import { MappedRamError } from '../errors.ts';
import { assertOptions } from '../io/assert-options.ts';
import { inWords } from '../io/in-words.ts';
import { assertWord, assertWords } from '../io/option-words.ts';
import {
  AFTER_SAVE,
  LIVE,
  READERS,
  SAVE_FORMS,
  SWITCHES,
  WRITERS,
  ZERO_PAGE_DETECTIONS,
  type NegotiationRequest,
  type PlanRequest,
  type RestoreRequest,
  type SaveRequest,
} from './request.ts';

const BOTH = {
  mappedRam: SWITCHES,
  multifd: SWITCHES,
  directIo: SWITCHES,
  xIgnoreShared: SWITCHES,
  fdset: SWITCHES,
} as const;

/**
 * Checks the words of a request.
 * @throws {MappedRamError} ERR_MAPPED_RAM_INVALID_ARGUMENT for a word that its option does not take
 */
export function assertRequest(request: NegotiationRequest): void {
  assertOptions(request, 'request');
  assertWord('direction', request.direction, ['save', 'restore']);
  assertWords<PlanRequest>(request, BOTH);
  if (typeof request.channels === 'string') assertWord('channels', request.channels, ['auto']);
  if (request.direction === 'save') {
    assertWords<SaveRequest>(request, {
      after: AFTER_SAVE,
      writer: ['auto', ...WRITERS],
      zeroPageDetection: ['auto', ...ZERO_PAGE_DETECTIONS],
      live: LIVE,
      form: ['auto', ...SAVE_FORMS],
    });
    assertBase(request);
  } else {
    assertWords<RestoreRequest>(request, { reader: READERS });
  }
}

/** An incremental save is the engine's, and a form means nothing to any other. */
function assertBase({ base = 'none', form, writer }: SaveRequest): void {
  if (typeof base !== 'string' || base === '' || base.includes('\0')) {
    throw bad('base', "'auto', 'none' or the path of the snapshot that QEMU has mapped", base);
  }
  if (base !== 'none' && writer === 'qemu') {
    throw bad('writer', 'engine or auto with a base: QEMU writes all of the memory', writer);
  }
  if (base === 'none' && form === 'delta') {
    throw bad('form', 'whole or auto without a base: a delta stands on one', form);
  }
}

function bad(what: string, expected: string, found: unknown): MappedRamError {
  return new MappedRamError('ERR_MAPPED_RAM_INVALID_ARGUMENT', what, { expected, found: inWords(found) });
}
