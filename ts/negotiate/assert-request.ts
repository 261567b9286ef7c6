import { assertOptions } from '../io/assert-options.ts';
import { assertWord, assertWords } from '../io/option-words.ts';
import {
  LIVE,
  READERS,
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
      writer: ['auto', ...WRITERS],
      zeroPageDetection: ['auto', ...ZERO_PAGE_DETECTIONS],
      live: LIVE,
    });
  } else {
    assertWords<RestoreRequest>(request, { reader: READERS });
  }
}
