import type { BlockDiff } from '../../diff/block-diff.ts';
import type { SnapshotDiff } from '../../diff/diff.ts';
import { keyValues, table } from './columns.ts';
import { diffMap } from './diff-map.ts';
import { formatCount, formatDuration, formatShare, formatSize, printable } from './format.ts';
import { sectionDiffLines } from './section-diff-lines.ts';
import type { Style } from './style.ts';
import { transferLines } from './transfer.ts';

/** A comparison for people. */
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
    // What was not read was zero on one side at least: not a share of the memory of one guest.
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

/** Blocks by name, with the counts in which some block is not zero. */
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
