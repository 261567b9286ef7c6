import type { Finding } from '../../verify/finding.ts';
import type { VerifyResult } from '../../verify/verify.ts';
import { keyValues } from './columns.ts';
import { formatCount, formatDuration, formatOffset, printable } from './format.ts';
import type { Style } from './style.ts';
import { transferLines } from './transfer.ts';

/** The most findings that are listed; --json has all of them. */
const MAX_LINES = 50;

/** Shows the findings to people. */
export function verifyLines(result: VerifyResult, style: Style): readonly string[] {
  const { path, offset, findings, seal, transfer, elapsedMs } = result;
  const at = offset > 0 ? ` at ${formatOffset(offset)}` : '';
  const left = findings.length - MAX_LINES;
  return [
    ...keyValues(
      [
        ['verified', `${printable(path)}${at}`],
        ['result', verdict(result, style)],
        ['seal', seal === undefined ? 'none' : `${printable(seal.path)}, ${sealWords(seal, findings)}`],
        ...(transfer === undefined ? [] : transferLines(transfer, 'read')),
        ['total', formatDuration(elapsedMs)],
      ],
      style,
    ),
    ...findings.slice(0, MAX_LINES).map((finding) => findingLine(finding, style)),
    ...(left > 0 ? [`and ${formatCount(left)} more; --json has all of them`] : []),
  ];
}

function verdict({ verified, findings }: VerifyResult, style: Style): string {
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const counts = [
    ...(errors > 0 ? [plural(errors, 'error')] : []),
    ...(findings.length > errors ? [plural(findings.length - errors, 'warning')] : []),
  ].join(', ');
  const words = verified ? style('green', 'passed') : style('red', 'FAILED');
  return counts === '' ? words : `${words}: ${counts}`;
}

function sealWords({ state }: NonNullable<VerifyResult['seal']>, findings: readonly Finding[]): string {
  if (state !== 'checked') return state;
  const differs = findings.some(({ code }) => SEAL_CODES.has(code));
  return differs ? 'the snapshot differs from it' : 'matches';
}

const SEAL_CODES: ReadonlySet<string> = new Set(['size-differs', 'metadata-differs', 'pages-differ']);

function findingLine({ severity, code, message, offset }: Finding, style: Style): string {
  const colour = severity === 'error' ? 'red' : 'yellow';
  const where = offset === undefined ? '' : ` at ${formatOffset(offset)}`;
  return `${style(colour, severity)}: ${code}${where}: ${printable(message)}`;
}

function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}
