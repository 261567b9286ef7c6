import type { TransferReport } from '../engine/transfer-options.ts';

/** Adds up what two transfers have done. The way is that of the first. */
export function addReports(first: TransferReport, second: TransferReport): TransferReport {
  return {
    ...first,
    bytes: first.bytes + second.bytes,
    dataBytes: first.dataBytes + second.dataBytes,
    requests: plus(first.requests, second.requests),
    directRequests: plus(first.directRequests, second.directRequests),
    requestBytes: plus(first.requestBytes, second.requestBytes),
    submissions: plus(first.submissions, second.submissions),
    elapsedMs: first.elapsedMs + second.elapsedMs,
  };
}

function plus(first: number | undefined, second: number | undefined): number | undefined {
  return first === undefined || second === undefined ? undefined : first + second;
}
