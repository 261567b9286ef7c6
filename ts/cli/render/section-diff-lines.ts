import type { FieldDiff, SectionDiff } from '../../diff/section-diff.ts';
import { scalarText } from './device-trees.ts';
import { formatCount, formatOffset, printable } from './format.ts';
import type { Style } from './style.ts';

/** Values of a section that are shown; --json has all of them. */
const MAX_FIELDS = 12;
/** Bytes that are shown from the first one on that differs. */
const MAX_BYTES = 16;

/** Sections that differ, and their values. */
export function sectionDiffLines(sections: readonly SectionDiff[], style: Style): readonly string[] {
  return sections.flatMap((section) => {
    const { name, instanceId, fields = [] } = section;
    const names = Math.max(0, ...fields.slice(0, MAX_FIELDS).map(({ path }) => printable(path).length));
    return [
      `${style('bold', printable(`${name}/${instanceId}`))}  ${headline(section)}`,
      ...fields.slice(0, MAX_FIELDS).map((field) => fieldLine(field, names, style)),
      ...(fields.length > MAX_FIELDS
        ? [style('dim', `  … ${formatCount(fields.length - MAX_FIELDS)} more`)]
        : []),
    ];
  });
}

function headline({ kind, versions, fields, firstDifference }: SectionDiff): string {
  if (kind !== 'changed') return kind === 'only-left' ? 'only on the left' : 'only on the right';
  const version = versions.left === versions.right ? '' : `version ${versions.left} → ${versions.right}; `;
  if (firstDifference === undefined) return `${version}the same bytes`;
  if (fields === undefined || fields.length === 0)
    return `${version}differs from byte ${formatOffset(firstDifference)} on${fields === undefined ? ', and cannot be decoded' : ''}`;
  return `${version}${formatCount(fields.length)} ${fields.length === 1 ? 'value differs' : 'values differ'}`;
}

function fieldLine({ path, left, right }: FieldDiff, names: number, style: Style): string {
  const head = `  ${printable(path).padEnd(names)}  `;
  if (left instanceof Uint8Array && right instanceof Uint8Array) return head + bytesText(left, right, style);
  const [from, to] = [left, right].map((value) => (value === undefined ? 'none' : scalarText(value)));
  return `${head}${from} ${style('dim', '→')} ${to}`;
}

/** What is alike is left out: two long values would look the same. */
function bytesText(left: Uint8Array, right: Uint8Array, style: Style): string {
  const first = left.findIndex((byte, at) => byte !== right[at]);
  const at = first === -1 ? left.length : first;
  const [from, to] = [left, right].map((bytes) => hexFrom(bytes, at));
  return `${from} ${style('dim', '→')} ${to}${style('dim', ` at byte ${formatOffset(at)}`)}`;
}

function hexFrom(bytes: Uint8Array, at: number): string {
  const shown = Buffer.from(bytes.subarray(at, at + MAX_BYTES)).toString('hex');
  const rest = bytes.length - at - MAX_BYTES;
  return shown === '' ? 'nothing' : `${shown}${rest > 0 ? '…' : ''}`;
}
