import { composeMessage, type MappedRamError } from '../../errors.ts';
import type { BaseInfo, BlockInfo, LibvirtInfo, SectionInfo, SnapshotInfo } from '../../snapshot/info.ts';
import { keyValues, table } from './columns.ts';
import { formatCount, formatOffset, formatSize, printable } from './format.ts';
import type { Style } from './style.ts';

/** Shows a snapshot to people. */
export function infoLines(info: SnapshotInfo, style: Style): readonly string[] {
  const { blocks, plainBlocks, sections, warnings } = info;
  return [
    ...keyValues(summary(info, style), style),
    ...warnings.map((warning) => `${style('yellow', 'warning')}: ${printable(warning)}`),
    ...(blocks.length > 0
      ? ['', style('bold', 'RAM blocks and their pages'), ...blockTable(blocks, style)]
      : []),
    ...(plainBlocks.length > 0 ? ['', style('bold', 'RAM blocks'), ...plainTable(plainBlocks, style)] : []),
    ...(sections.length > 0 ? ['', style('bold', 'Device state'), ...sectionTable(sections, style)] : []),
  ];
}

function summary(info: SnapshotInfo, style: Style): readonly (readonly [string, string])[] {
  const { capabilities, blocks, plainBlocks, sections } = info;
  const memory = [...blocks, ...plainBlocks].reduce((sum, { length }) => sum + length, 0);
  const inBlocks = `in ${plural(blocks.length + plainBlocks.length, 'block')}`;
  return [
    ['file', printable(info.path)],
    ...(info.offset > 0 ? [['stream at', formatOffset(info.offset)] as const] : []),
    ['form', formOf(info)],
    ...(info.base === undefined ? [] : [['base', baseOf(info.base)] as const]),
    ...(info.libvirt === undefined ? [] : [['libvirt', printable(libvirtOf(info.libvirt))] as const]),
    ['complete', completeness(info, style)],
    ['machine', info.machine],
    ['guest', guestOf(info)],
    ['capabilities', capabilities.length > 0 ? capabilities.join(', ') : 'none'],
    ['memory', `${formatSize(memory)} ${inBlocks}${pagesOf(blocks)}`],
    ['device state', `${formatSize(info.deviceStateBytes)} in ${plural(sections.length, 'section')}`],
    ['file size', `${formatSize(info.size)}, of which ${formatSize(info.allocated)} are allocated`],
    ['page size', formatSize(info.pageSize)],
  ];
}

function baseOf({ path, size, allocated }: BaseInfo): string {
  return `${printable(path)}, ${formatSize(size)}, of which ${formatSize(allocated)} are allocated`;
}

function formOf({ form, base }: SnapshotInfo): string {
  if (base !== undefined) return 'delta: mapped-ram, read with its base';
  if (form === undefined) return 'a migration stream without RAM';
  return form === 'plain' ? 'plain migration stream (not mapped-ram)' : 'mapped-ram';
}

function libvirtOf({ version, format, wasRunning, domain, cookie }: LibvirtInfo): string {
  const of = domain === undefined ? '' : ` of the domain ${domain}`;
  const more = cookie ? ', with a cookie' : '';
  return `save image${of}, version ${version}, format ${format}${more}; the guest was ${wasRunning ? 'running' : 'not running'}`;
}

function guestOf({ runState, libvirt }: SnapshotInfo): string {
  if (runState === undefined) return 'what it did when it was saved is not known';
  const stopped = libvirt?.wasRunning === true && runState === 'paused' ? ', stopped by libvirt' : '';
  return `${printable(runState)} when it was saved${stopped}`;
}

function completeness({ complete, ramComplete, problem }: SnapshotInfo, style: Style): string {
  if (complete) return style('green', 'yes');
  const reason = problem === undefined ? 'the end of the stream is missing' : reasonOf(problem);
  const answer = ramComplete ? style('yellow', 'RAM yes, device state unknown') : style('red', 'no');
  return `${answer} — ${printable(reason)}`;
}

/** Leaves the file's name out, which stands above. */
function reasonOf({ shortMessage, offset, sectionOffset, expected, found, cause }: MappedRamError): string {
  return composeMessage(shortMessage, { offset, sectionOffset, expected, found, cause });
}

function pagesOf(blocks: readonly BlockInfo[]): string {
  if (blocks.length === 0) return '';
  const set = blocks.reduce((sum, { setPages }) => sum + setPages, 0);
  const zero = blocks.reduce((sum, { zeroPages }) => sum + zeroPages, 0);
  const changed = blocks.reduce((sum, { changedPages = 0 }) => sum + changedPages, 0);
  const isDelta = blocks.some(({ changedPages }) => changedPages !== undefined);
  const here = isDelta ? `set, ${formatCount(changed)} of them in the delta` : 'in the file';
  return `: ${formatCount(set)} pages ${here}, ${formatCount(zero)} zero`;
}

function blockTable(blocks: readonly BlockInfo[], style: Style): readonly string[] {
  const right = 'right' as const;
  const columns = [
    { title: 'id' },
    { title: 'size', align: right },
    { title: 'set', align: right },
    { title: 'zero', align: right },
    { title: 'bitmap at', align: right },
    { title: 'pages at', align: right },
    { title: 'aligned', align: right },
  ];
  const rows = blocks.map((block) => [
    block.id,
    formatSize(block.length),
    ...(block.skipped
      ? ['not in the file']
      : [
          formatCount(block.setPages),
          formatCount(block.zeroPages),
          formatOffset(block.bitmapOffset),
          formatOffset(block.pagesOffset),
          formatSize(block.alignment),
        ]),
  ]);
  return table(columns, rows, style);
}

function plainTable(
  blocks: readonly { readonly id: string; readonly length: number }[],
  style: Style,
): readonly string[] {
  const rows = blocks.map(({ id, length }) => [id, formatSize(length)]);
  return table([{ title: 'id' }, { title: 'size', align: 'right' }], rows, style);
}

function sectionTable(sections: readonly SectionInfo[], style: Style): readonly string[] {
  const right = 'right' as const;
  const columns = [
    { title: 'section' },
    { title: 'instance', align: right },
    { title: 'version', align: right },
    { title: 'bytes', align: right },
    { title: 'at', align: right },
    { title: '' },
  ];
  const rows = sections.map(({ name, instanceId, version, length, offset, early }) => [
    name,
    String(instanceId),
    String(version),
    formatCount(length),
    formatOffset(offset),
    early ? 'early' : '',
  ]);
  return table(columns, rows, style);
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
