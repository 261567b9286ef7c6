import type { BlockDiff } from '../../diff/block-diff.ts';
import type { SnapshotDiff } from '../../diff/diff.ts';
import type { FieldDiff, SectionDiff } from '../../diff/section-diff.ts';
import { keyValues, table } from './columns.ts';
import { scalarText } from './devices/trees.ts';
import { diffMap } from './diff-map.ts';
import { formatCount, formatDuration, formatOffset, formatShare, formatSize, printable } from './format.ts';
import type { Style } from './style.ts';
import { transferLines } from './transfer.ts';

/** The most values of a section that are shown; --json has all of them. */
const MAX_FIELDS = 12;
/** The most bytes that are shown, counted from the first one that differs. */
const MAX_BYTES = 16;

/** Shows a comparison to people. */
export function diffLines(result: SnapshotDiff, style: Style): readonly string[] {
  const { blocks, sections = [] } = result;
  const differing = blocks.filter(({ equal }) => !equal);
  return [
    ...keyValues(summary(result, style), style),
    ...(differing.length > 0
      ? [
          '',
          style('bold', 'Pages of RAM blocks'),
          ...blockTable(blocks, style),
          '',
          ...diffMap(differing, style),
        ]
      : []),
    ...(sections.length > 0 ? ['', style('bold', 'Device state'), ...sectionDiffLines(sections, style)] : []),
  ];
}

function summary(result: SnapshotDiff, style: Style): readonly (readonly [string, string])[] {
  const { left, right, equal, machines, notCompared, sections, transfer, elapsedMs } = result;
  return [
    ['left', printable(left)],
    ['right', right === undefined ? 'RAM' : printable(right)],
    ['result', equal ? style('green', 'equal') : style('yellow', 'different')],
    ...(machines === undefined || machines.left === machines.right
      ? []
      : [['machine', `${printable(machines.left)} → ${printable(machines.right)}`] as const]),
    ['pages', pagesText(result)],
    ['device state', sectionsText(sections)],
    ...(notCompared.length === 0
      ? []
      : [['not compared', notCompared.map((id) => printable(id)).join(', ')] as const]),
    // The bytes that were not read are zero on one side at least, which is no share of one guest's memory.
    ...transferLines({ ...transfer, bytes: transfer.dataBytes }, 'read').filter(([key]) => key !== 'memory'),
    ['total', formatDuration(elapsedMs)],
  ];
}

function pagesText({ blocks, pageSize }: SnapshotDiff): string {
  const pages = sum(blocks, (block) => block.pages);
  const different = sum(blocks, (block) => block.pages - block.same);
  if (different === 0) return `${formatCount(pages)} compared, all the same`;
  const share = formatShare(different, pages);
  return `${formatCount(different)} of ${formatCount(pages)} differ (${share}, ${formatSize(different * pageSize)})`;
}

function sectionsText(sections: SnapshotDiff['sections']): string {
  if (sections === undefined) return 'not compared';
  if (sections.length === 0) return 'the same';
  return `${formatCount(sections.length)} section${sections.length === 1 ? '' : 's'} differ${sections.length === 1 ? 's' : ''}`;
}

function sum(blocks: readonly BlockDiff[], count: (block: BlockDiff) => number): number {
  return blocks.reduce((total, block) => total + count(block), 0);
}

/** Lists the blocks by name. Counts that are zero for all blocks are left out, except the first four. */
function blockTable(blocks: readonly BlockDiff[], style: Style): readonly string[] {
  const right = 'right' as const;
  const counts: readonly (readonly [string, (block: BlockDiff) => number])[] = [
    ['same', (block) => block.same],
    ['changed', (block) => block.changed],
    ['became zero', (block) => block.becameZero],
    ['became data', (block) => block.becameData],
    ['only left', (block) => block.onlyLeft],
    ['only right', (block) => block.onlyRight],
  ];
  const shown = counts.filter(([, count], index) => index < 4 || blocks.some((block) => count(block) > 0));
  return table(
    [{ title: 'id' }, { title: 'size', align: right }, ...shown.map(([title]) => ({ title, align: right }))],
    blocks.map((block) => [
      block.id,
      formatSize(block.pages * block.pageSize),
      ...shown.map(([, count]) => formatCount(count(block))),
    ]),
    style,
  );
}

/** Lists the sections that differ, with their values. */
function sectionDiffLines(sections: readonly SectionDiff[], style: Style): readonly string[] {
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

/** Shows bytes from the first difference on: two long values with the same beginning would look the same. */
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
